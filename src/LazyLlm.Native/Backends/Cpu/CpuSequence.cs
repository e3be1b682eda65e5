using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>A session's memory on the CPU: Aux cache, stage caches, and the current token set, compute set and importance.</summary>
internal sealed class CpuSequence : ISequenceMemory
{
    private readonly int _hiddenSize;
    private readonly int _keyValueWidth;
    private readonly CpuStageCache[] _stages;
    private float[] _aux = [];
    private int _length;

    /// <summary>Creates the memory of a session without positions.</summary>
    public CpuSequence(StagePlan plan, int hiddenSize, int keyValueWidth)
        : this(plan, hiddenSize, keyValueWidth, [.. plan.Stages.Select(s => new CpuStageCache(s.FirstLayer, s.LayerCount, keyValueWidth))])
    {
    }

    private CpuSequence(StagePlan plan, int hiddenSize, int keyValueWidth, CpuStageCache[] stages)
    {
        Plan = plan;
        _hiddenSize = hiddenSize;
        _keyValueWidth = keyValueWidth;
        _stages = stages;
    }

    /// <summary>The stages.</summary>
    public StagePlan Plan { get; }

    /// <summary>Positions of T, ascending; the first <see cref="TokenCount"/> entries.</summary>
    public int[] TokenPositions { get; private set; } = [];

    /// <summary>Slots of T in the current stage.</summary>
    public int[] TokenSlots { get; private set; } = [];

    /// <summary>|T|.</summary>
    public int TokenCount { get; set; }

    /// <summary>Positions of C, ascending; the first <see cref="ComputeCount"/> entries.</summary>
    public int[] ComputePositions { get; private set; } = [];

    /// <summary>Slots of C in the current stage.</summary>
    public int[] ComputeSlots { get; private set; } = [];

    /// <summary>|C|.</summary>
    public int ComputeCount { get; set; }

    /// <summary>Importance over T.</summary>
    public float[] Importance { get; private set; } = [];

    /// <summary>Aux rows by position.</summary>
    public float[] Aux => _aux;

    /// <inheritdoc/>
    public long KeyValueBytesPerTokenAndLayer => 2L * _keyValueWidth * sizeof(float);

    /// <inheritdoc/>
    public long KeyValueBytes => _stages.Sum(s => (long)s.Count * s.LayerCount) * KeyValueBytesPerTokenAndLayer;

    /// <inheritdoc/>
    public long AuxBytes => (long)_length * _hiddenSize * sizeof(float);

    /// <inheritdoc/>
    public long AllocatedBytes => ((long)_aux.Length * sizeof(float)) + _stages.Sum(s => s.AllocatedBytes);

    /// <summary>The cache of a stage.</summary>
    public CpuStageCache Stage(int index) => _stages[index];

    /// <summary>The cache that holds <paramref name="layer"/>.</summary>
    public CpuStageCache StageOfLayer(int layer) => _stages[Plan.StageOf(layer).Index];

    /// <summary>Makes room for <paramref name="length"/> positions.</summary>
    public void Extend(int length)
    {
        _length = length;
        if ((long)length * _hiddenSize > _aux.Length)
        {
            Array.Resize(ref _aux, checked((length + (_aux.Length == 0 ? 0 : length / 2)) * _hiddenSize));
        }

        if (length > TokenPositions.Length)
        {
            int size = Math.Max(64, length + (length / 2));
            TokenPositions = Resized(TokenPositions, size);
            TokenSlots = Resized(TokenSlots, size);
            ComputePositions = Resized(ComputePositions, size);
            ComputeSlots = Resized(ComputeSlots, size);
            Importance = Resized(Importance, size);
        }
    }

    /// <inheritdoc/>
    public ISequenceMemory Fork()
    {
        var copy = new CpuSequence(Plan, _hiddenSize, _keyValueWidth, [.. _stages.Select(s => s.Clone())]) { _aux = [.. _aux] };
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
    }

    private static T[] Resized<T>(T[] array, int size)
    {
        Array.Resize(ref array, size);
        return array;
    }
}
