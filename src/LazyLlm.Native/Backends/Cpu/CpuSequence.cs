using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>A session's memory on the CPU: Aux cache, stage caches, and the current token set, compute set and importance.</summary>
internal sealed unsafe class CpuSequence : ISequenceMemory
{
    private readonly int _hiddenSize;
    private readonly int _keyValueWidth;
    private readonly CpuStageCache[] _stages;
    private readonly FloatBuffer _aux;
    private readonly TokenSelection _selection = new();
    private int _room;
    private int _length;

    /// <summary>Creates the memory of a session without positions.</summary>
    public CpuSequence(StagePlan plan, int hiddenSize, int keyValueWidth)
        : this(plan, hiddenSize, keyValueWidth, [.. plan.Stages.Select(s => new CpuStageCache(s.FirstLayer, s.LayerCount, keyValueWidth))], new FloatBuffer())
    {
    }

    private CpuSequence(StagePlan plan, int hiddenSize, int keyValueWidth, CpuStageCache[] stages, FloatBuffer aux)
    {
        Plan = plan;
        _hiddenSize = hiddenSize;
        _keyValueWidth = keyValueWidth;
        _stages = stages;
        _aux = aux;
    }

    /// <summary>The stages.</summary>
    public StagePlan Plan { get; }

    /// <summary>Positions of T, ascending; the first <see cref="TokenCount"/> entries.</summary>
    public int[] TokenPositions { get; private set; } = [];

    /// <summary>Slots of T in the current stage.</summary>
    public int[] TokenSlots { get; private set; } = [];

    /// <summary>|T|.</summary>
    public int TokenCount { get; private set; }

    /// <summary>Positions of C, ascending; the first <see cref="ComputeCount"/> entries.</summary>
    public int[] ComputePositions { get; private set; } = [];

    /// <summary>Slots of C in the current stage.</summary>
    public int[] ComputeSlots { get; private set; } = [];

    /// <summary>Per entry of C, how many entries of T are at its position or before.</summary>
    public int[] ComputeLimits { get; private set; } = [];

    /// <summary>|C|.</summary>
    public int ComputeCount { get; private set; }

    /// <summary>Importance over T.</summary>
    public float[] Importance { get; private set; } = [];

    /// <summary>Aux rows by position, side by side.</summary>
    public float* Aux => _aux.Pointer;

    /// <inheritdoc/>
    public long KeyValueBytesPerTokenAndLayer => 2L * _keyValueWidth * sizeof(float);

    /// <inheritdoc/>
    public long KeyValueBytes
    {
        get
        {
            // Asked for after every token: a loop, which allocates nothing.
            long pairs = 0;
            foreach (CpuStageCache stage in _stages)
            {
                pairs += (long)stage.Count * stage.LayerCount;
            }

            return pairs * KeyValueBytesPerTokenAndLayer;
        }
    }

    /// <inheritdoc/>
    public long AuxBytes => (long)_length * _hiddenSize * sizeof(float);

    /// <inheritdoc/>
    public long AllocatedBytes => _aux.AllocatedBytes + _stages.Sum(s => s.AllocatedBytes);

    /// <summary>The cache that holds <paramref name="layer"/>.</summary>
    public CpuStageCache StageOfLayer(int layer) => _stages[Plan.StageOf(layer).Index];

    /// <summary>Makes room for <paramref name="length"/> positions.</summary>
    public void Extend(int length)
    {
        if (length > _room)
        {
            int room = Growth.Next(_room, length);
            _aux.Grow((long)room * _hiddenSize);
            TokenPositions = Resized(TokenPositions, room);
            TokenSlots = Resized(TokenSlots, room);
            ComputePositions = Resized(ComputePositions, room);
            ComputeSlots = Resized(ComputeSlots, room);
            ComputeLimits = Resized(ComputeLimits, room);
            Importance = Resized(Importance, room);
            _room = room;
        }

        _length = length;
    }

    /// <summary>T = every position; C = those that the first stage has not computed.</summary>
    public StepTokens TakeAll(int count, int firstNew)
    {
        TokenCount = count;
        for (int position = 0; position < count; position++)
        {
            TokenPositions[position] = position;
        }

        return AssignSlots(0, firstNew);
    }

    /// <summary>T = what the request asks of it; C = those that the request's stage has not computed.</summary>
    public StepTokens Select(in SelectionRequest request)
    {
        TokenCount = _selection.Select(Importance, TokenPositions, TokenCount, _stages[request.Stage], request);
        return AssignSlots(request.Stage, request.FirstNew);
    }

    /// <inheritdoc/>
    public ISequenceMemory Fork()
    {
        var copy = new CpuSequence(Plan, _hiddenSize, _keyValueWidth, [.. _stages.Select(s => s.Clone())], _aux.Copy((long)_length * _hiddenSize));
        copy.Extend(_length);
        return copy;
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _length = 0;
        foreach (CpuStageCache stage in _stages)
        {
            stage.Truncate(0);
        }
    }

    /// <inheritdoc/>
    public void Rollback(int length, ReadOnlySpan<int> slotCounts)
    {
        _length = length;
        for (int i = 0; i < _stages.Length; i++)
        {
            _stages[i].Truncate(Math.Min(slotCounts[i], _stages[i].Count));
        }
    }

    /// <inheritdoc/>
    public void ReadTokenSet(Span<int> positions) => TokenPositions.AsSpan(0, TokenCount).CopyTo(positions);

    /// <inheritdoc/>
    public void Dispose()
    {
        _aux.Dispose();
        foreach (CpuStageCache stage in _stages)
        {
            stage.Dispose();
        }
    }

    private StepTokens AssignSlots(int stage, int firstNew)
    {
        CpuStageCache cache = _stages[stage];
        int missing = 0;
        for (int i = 0; i < TokenCount; i++)
        {
            missing += cache.SlotOf(TokenPositions[i]) < 0 ? 1 : 0;
        }

        cache.Reserve(missing, TokenCount == 0 ? 0 : TokenPositions[TokenCount - 1] + 1);
        int computed = 0;
        int revived = 0;
        for (int i = 0; i < TokenCount; i++)
        {
            int position = TokenPositions[i];
            int slot = cache.SlotOf(position);
            if (slot < 0)
            {
                slot = cache.Add(position);
                ComputePositions[computed] = position;
                ComputeSlots[computed] = slot;
                ComputeLimits[computed] = i + 1;
                computed++;
                revived += position < firstNew ? 1 : 0;
            }

            TokenSlots[i] = slot;
        }

        ComputeCount = computed;
        return new StepTokens(TokenCount, computed, revived);
    }

    private static T[] Resized<T>(T[] array, int size)
    {
        Array.Resize(ref array, size);
        return array;
    }
}
