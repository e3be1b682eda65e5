using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// A session's memory on the GPU. Everything keeps its address for life, so that recorded graphs stay valid:
/// <list type="bullet">
/// <item>Aux: positions x hidden, float32, grown with the positions;</item>
/// <item>K/V: a region per stage, [slot][layer of the stage][K, V][K/V heads x head size], grown with the slots, so that
/// a position that a stage never computes costs it nothing;</item>
/// <item>lists of 32-bit integers over the capacity: T's positions and slots, C's positions and slots, importance, and per
/// stage <c>slotOf[position]</c>, -1 where there is none; behind them, what the attention of the rows that score leaves to the
/// importance.</item>
/// </list>
/// </summary>
internal sealed class CudaSequence : ISequenceMemory
{
    // The step's state and what a selection by several blocks shares stand before the lists.
    private const int StateBytes = 256 + SelectKernels.SharedBytes;

    // T's positions twice (a selection reads one stage's and writes the next one's), T's slots, C's three, importance, keys.
    private const int SharedLists = 8;

    private static readonly OperationName Forking = new("fork");
    private static readonly OperationName ForgettingSlots = new("rollback");

    private readonly CudaOperations _operations;
    private readonly DeviceShape _shape;
    private readonly int _capacity;
    private readonly long _listBytes;
    private readonly DeviceBuffer _lists;
    private readonly GrowableDeviceBuffer _aux;
    private readonly GrowableDeviceBuffer[] _keyValues;
    private readonly int[] _slotCounts;
    private bool _mustForgetSlots;
    private int _length;

    /// <summary>Takes the lists' memory and reserves addresses for the rest.</summary>
    public CudaSequence(CudaOperations operations, StagePlan plan, int capacity)
    {
        _operations = operations;
        _shape = operations.Shape;
        _capacity = Math.Max(1, capacity);
        Plan = plan;
        _slotCounts = new int[plan.Stages.Length];
        _keyValues = new GrowableDeviceBuffer[plan.Stages.Length];
        _listBytes = (((long)_capacity * sizeof(int)) + 255) / 256 * 256;
        CudaContext context = operations.Context;
        try
        {
            _lists = new DeviceBuffer(context, ListsBytes + ((long)NormalizedRows * _shape.Config.HeadCount * sizeof(float)), "a session's token lists");
            _aux = new GrowableDeviceBuffer(context, (long)_capacity * _shape.Hidden * sizeof(float), "the Aux cache");
            foreach (Stage stage in plan.Stages)
            {
                _keyValues[stage.Index] = new GrowableDeviceBuffer(context, _capacity * SlotBytes(stage), $"K and V of stage {stage.Index}");
            }

            ReadBack = new PinnedBuffer(context, 256, "a session's counts");
            CountsRead = new CudaEvent(context);
            Graphs = new StageGraphs();
            operations.Stream.Fill(SlotOf(0), 0xFF, _listBytes * _slotCounts.Length);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The stages.</summary>
    public StagePlan Plan { get; }

    /// <summary>Positions there may be.</summary>
    public int Capacity => _capacity;

    /// <summary>Device address of the <see cref="StepState"/>.</summary>
    public ulong State => _lists.Pointer;

    /// <summary>T's slots in the current stage, by place in T.</summary>
    public ulong TokenSlots => List(2);

    /// <summary>C's positions, ascending.</summary>
    public ulong ComputePositions => List(3);

    /// <summary>C's slots in the current stage.</summary>
    public ulong ComputeSlots => List(4);

    /// <summary>Importance over T, float32.</summary>
    public ulong Importance => List(5);

    /// <summary>C's places in T.</summary>
    public ulong ComputePlaces => List(6);

    /// <summary>Scratch of a selection by several blocks: what is still undecided, a word for each.</summary>
    public ulong SelectionKeys => List(7);

    /// <summary>Scratch of a selection by several blocks: <see cref="SelectKernels.SharedBytes"/> bytes.</summary>
    public ulong SelectionShared => _lists.At(256);

    /// <summary>Newest rows whose attention leaves its normalizers: those that may score.</summary>
    public int NormalizedRows => Plan.Stages.Length > 1 ? Math.Min(_capacity, Plan.Rule.ScoreQueries) : 0;

    /// <summary>What the powers of two of their attention were divided by, as log2: from the newest row back, query heads each, float32.</summary>
    public ulong Normalizers => _lists.At(ListsBytes);

    /// <summary>Aux rows by position.</summary>
    public ulong Aux => _aux.Pointer;

    /// <summary>|T| of the current stage.</summary>
    public int TokenCount { get; set; }

    /// <summary>The stage whose T stands in <see cref="TokenPositions"/>.</summary>
    public int CurrentStage { get; set; }

    /// <summary>Where counts are read back to: a <see cref="StepState"/>.</summary>
    public PinnedBuffer ReadBack { get; } = null!;

    /// <summary>Marks that the counts have been read back.</summary>
    public CudaEvent CountsRead { get; } = null!;

    /// <summary>Recorded stages.</summary>
    public StageGraphs Graphs { get; } = null!;

    /// <inheritdoc/>
    public long KeyValueBytesPerTokenAndLayer => _shape.KeyValueBytes;

    /// <inheritdoc/>
    public long KeyValueBytes
    {
        get
        {
            // Asked for after every token: a loop, which allocates nothing.
            long bytes = 0;
            foreach (Stage stage in Plan.Stages)
            {
                bytes += _slotCounts[stage.Index] * SlotBytes(stage);
            }

            return bytes;
        }
    }

    /// <inheritdoc/>
    public long AuxBytes => (long)_length * _shape.Hidden * sizeof(float);

    /// <inheritdoc/>
    public long AllocatedBytes => _lists.Bytes + _aux.Bytes + _keyValues.Sum(b => b.Bytes);

    /// <summary>T's positions of a stage, ascending. Those of the stage before are kept beside them.</summary>
    public ulong TokenPositions(int stage) => List(stage & 1);

    /// <summary>A stage's slots by position, -1 where there is none.</summary>
    public ulong SlotOf(int stage) => List(SharedLists + stage);

    /// <summary>K of <paramref name="layer"/> at slot 0; V follows after <see cref="DeviceShape.KeyValueWidth"/> numbers.</summary>
    public ulong Keys(int layer)
    {
        Stage stage = Plan.StageOf(layer);
        return _keyValues[stage.Index].Pointer + ((ulong)(layer - stage.FirstLayer) * (ulong)_shape.KeyValueBytes);
    }

    /// <summary>Numbers from one slot of a stage's K/V to the next.</summary>
    public long SlotStride(Stage stage) => 2L * _shape.KeyValueWidth * stage.LayerCount;

    /// <summary>Slots of a stage in use.</summary>
    public int SlotCount(int stage) => _slotCounts[stage];

    /// <summary>Makes room for <paramref name="count"/> slots of a stage, and counts them as used.</summary>
    /// <exception cref="Errors.DeviceMemoryException">There is too little memory; nothing has changed.</exception>
    public void UseSlots(int stage, int count)
    {
        _keyValues[stage].EnsureCapacity(count * SlotBytes(Plan.Stages[stage]));
        _slotCounts[stage] = count;
    }

    /// <summary>Makes room for <paramref name="length"/> positions.</summary>
    /// <exception cref="Errors.DeviceMemoryException">There is too little memory; nothing has changed.</exception>
    public void Extend(int length)
    {
        if (_mustForgetSlots)
        {
            ForgetSlots();
        }

        _aux.EnsureCapacity((long)length * _shape.Hidden * sizeof(float));
        _length = Math.Max(_length, length);
    }

    /// <inheritdoc/>
    public ISequenceMemory Fork()
    {
        using OperationScope scope = OperationScope.Open(Forking);
        var copy = new CudaSequence(_operations, Plan, _capacity);
        try
        {
            CudaStream stream = _operations.Stream;
            copy.Extend(_length);
            stream.Copy(copy._lists.Pointer, _lists.Pointer, _lists.Bytes);
            Copy(copy._aux, _aux, AuxBytes);
            foreach (Stage stage in Plan.Stages)
            {
                copy.UseSlots(stage.Index, _slotCounts[stage.Index]);
                Copy(copy._keyValues[stage.Index], _keyValues[stage.Index], _slotCounts[stage.Index] * SlotBytes(stage));
            }

            copy.TokenCount = TokenCount;
            copy.CurrentStage = CurrentStage;
            return copy;

            void Copy(GrowableDeviceBuffer to, GrowableDeviceBuffer from, long bytes)
            {
                if (bytes > 0)
                {
                    stream.Copy(to.Pointer, from.Pointer, bytes);
                }
            }
        }
        catch
        {
            copy.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _length = 0;
        TokenCount = 0;
        Array.Clear(_slotCounts);
        ForgetSlots();
    }

    /// <inheritdoc/>
    public void Rollback(int length, ReadOnlySpan<int> slotCounts)
    {
        _length = length;
        for (int stage = 0; stage < _slotCounts.Length; stage++)
        {
            _slotCounts[stage] = Math.Min(_slotCounts[stage], slotCounts[stage]);
        }

        ForgetSlots();
    }

    /// <inheritdoc/>
    public void ReadTokenSet(Span<int> positions)
    {
        if (!positions.IsEmpty)
        {
            _operations.Stream.DownloadNow(positions, TokenPositions(CurrentStage));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // A constructor that failed leaves the rest null.
        Graphs?.Dispose();
        ReadBack?.Dispose();
        CountsRead?.Dispose();
        foreach (GrowableDeviceBuffer? region in _keyValues)
        {
            region?.Dispose();
        }

        _aux?.Dispose();
        _lists?.Dispose();
    }

    private long ListsBytes => StateBytes + ((SharedLists + Plan.Stages.Length) * _listBytes);

    private ulong List(int index) => _lists.At(StateBytes + (index * _listBytes));

    private long SlotBytes(Stage stage) => _shape.KeyValueBytes * stage.LayerCount;

    /// <summary>Frees the slots from each stage's count on. If that fails, the next step tries again before it does anything else.</summary>
    private void ForgetSlots()
    {
        using OperationScope scope = OperationScope.Open(ForgettingSlots);
        _mustForgetSlots = true;
        for (int stage = 0; stage < _slotCounts.Length; stage++)
        {
            _operations.ForgetSlots(SlotOf(stage), _capacity, _slotCounts[stage]);
        }

        _mustForgetSlots = false;
    }
}
