using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>What is done over a sequence's token set: its choice, K and V, attention, importance.</summary>
internal sealed partial class CudaOperations
{
    private static readonly OperationName TakingAll = new("take_all");
    private static readonly OperationName Selecting = new("select_tokens");
    private static readonly OperationName Rotating = new("rope_to_cache");
    private static readonly OperationName KeepingLast = new("keep_last_row");
    private static readonly OperationName AttendingDense = new("attend_dense");
    private static readonly OperationName AttendingGathered = new("attend_gathered");
    private static readonly OperationName Scoring = new("score_last");

    /// <inheritdoc/>
    public StepTokens TakeAll(ISequenceMemory sequence, int first, int count)
    {
        using OperationScope scope = OperationScope.Open(TakingAll);
        var memory = (CudaSequence)sequence;
        memory.UseSlots(0, first + count);
        memory.CurrentStage = 0;
        memory.TokenCount = first + count;
        _select.LaunchTakeAll(Stream, new TakeAllArgs
        {
            Positions = memory.TokenPositions(0),
            Slots = memory.TokenSlots,
            ComputePositions = memory.ComputePositions,
            ComputeSlots = memory.ComputeSlots,
            ComputePlaces = memory.ComputePlaces,
            SlotOf = memory.SlotOf(0),
            State = memory.State,
            FirstNew = first,
            Length = first + count,
        });
        return new StepTokens(first + count, count, 0);
    }

    /// <inheritdoc/>
    public StepTokens SelectTokens(ISequenceMemory sequence, in SelectionRequest request)
    {
        using OperationScope scope = OperationScope.Open(Selecting, request.Stage);
        var memory = (CudaSequence)sequence;
        int slotCount = memory.SlotCount(request.Stage);
        int keepCount = Math.Min(memory.TokenCount, request.KeepCount);
        _select.LaunchSelect(Stream, new SelectArgs
        {
            Importance = memory.Importance,
            Positions = memory.TokenPositions(request.Stage - 1),
            NextPositions = memory.TokenPositions(request.Stage),
            NextSlots = memory.TokenSlots,
            ComputePositions = memory.ComputePositions,
            ComputeSlots = memory.ComputeSlots,
            ComputePlaces = memory.ComputePlaces,
            SlotOf = memory.SlotOf(request.Stage),
            Keys = memory.SelectionKeys,
            Shared = memory.SelectionShared,
            State = memory.State,
            Mass = request.AttentionMass,
            Count = memory.TokenCount,
            KeepCount = keepCount,
            Length = request.Length,
            FirstNew = request.FirstNew,
            SlotCount = slotCount,
            Pool = request.PoolWidth,
            KeepFirst = request.KeepFirst,
            KeepRecent = request.KeepRecent,
            IsStatic = request.Static ? 1 : 0,
        });

        // What is filled for the first time by a fraction has known counts, and a prefill goes on without waiting.
        StepTokens tokens = request.FirstFill && request.AttentionMass == 0
            ? new StepTokens(keepCount, keepCount, 0)
            : ReadCounts(memory);
        memory.CurrentStage = request.Stage;
        memory.TokenCount = tokens.TokenCount;
        memory.UseSlots(request.Stage, slotCount + tokens.Rows);
        return tokens;
    }

    /// <inheritdoc/>
    public void RopeToCache(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        using OperationScope scope = OperationScope.Open(Rotating, layer: layer);
        var memory = (CudaSequence)sequence;
        var space = (CudaWorkspace)workspace;
        if (space.PendingQueryKeyValue)
        {
            space.PendingQueryKeyValue = false;
            LaunchTurning(memory, space, rows, layer);
            return;
        }

        _rope.Launch(space.Stream, new RopeCacheArgs { QueryKeyValue = QueryRow(space, rows.Start), Count = space.Count(rows.Count), Turn = Turn(memory, layer) });
    }

    /// <inheritdoc/>
    public void KeepLastRow(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int index)
    {
        using OperationScope scope = OperationScope.Open(KeepingLast);
        var memory = (CudaSequence)sequence;
        var space = (CudaWorkspace)workspace;
        RowCount count = space.Count(rows.Count);
        if (count.Limit > 1 || rows.Start != index)
        {
            _rows.KeepLast(space.Stream, new LastRowArgs
            {
                Residual = ResidualRow(space, rows.Start),
                Queries = QueryRow(space, rows.Start),
                KeptResidual = ResidualRow(space, index),
                KeptQueries = QueryRow(space, index),
                Count = count,
                Width = Shape.Hidden,
                QueryStride = Shape.QueryKeyValueWidth * Shape.ElementSize,
                QueryBytes = Shape.QueryWidth * Shape.ElementSize,
            });
        }

        space.KeepLastRow(index);
    }

    /// <inheritdoc/>
    public void AttendDense(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        using OperationScope scope = OperationScope.Open(AttendingDense, layer: layer);
        Attend((CudaWorkspace)workspace, rows, Attention((CudaSequence)sequence, (CudaWorkspace)workspace, rows, layer));
    }

    /// <inheritdoc/>
    public void AttendGathered(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        using OperationScope scope = OperationScope.Open(AttendingGathered, layer: layer);
        var memory = (CudaSequence)sequence;

        // The last row alone is T's tail.
        var space = (CudaWorkspace)workspace;
        AttentionArgs args = Attention(memory, space, rows, layer) with { Slots = memory.TokenSlots, Places = space.IsLastRows ? 0 : memory.ComputePlaces };
        Attend(space, rows, args);
    }

    /// <inheritdoc/>
    public void ScoreLast(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer, int queries, bool accumulate)
    {
        using OperationScope scope = OperationScope.Open(Scoring, layer: layer);
        var memory = (CudaSequence)sequence;
        var space = (CudaWorkspace)workspace;
        AttentionArgs args = Attention(memory, space, rows, layer) with { Slots = memory.TokenSlots, Places = memory.ComputePlaces };
        _importance.Launch(space.Stream, args, memory.Importance, queries, accumulate);
    }

    private static StepTokens Counts(in StepState state) => new(state.TokenCount, state.Rows, state.Revived);

    private StepTokens ReadCounts(CudaSequence memory)
    {
        unsafe
        {
            Stream.Download(memory.ReadBack, 0, memory.State, sizeof(StepState));
        }

        memory.CountsRead.Record(Stream);
        memory.CountsRead.Synchronize();
        return Counts(memory.ReadBack.AsSpan<StepState>(0, 1)[0]);
    }

    private ulong QueryRow(CudaWorkspace space, int row) =>
        space.QueryKeyValue + ((ulong)row * (ulong)Shape.QueryKeyValueWidth * (ulong)Shape.ElementSize);

    /// <summary>The rows' attention over T in slot order.</summary>
    private AttentionArgs Attention(CudaSequence memory, CudaWorkspace space, RowRange rows, int layer) => new()
    {
        Queries = QueryRow(space, rows.Start),
        Keys = memory.Keys(layer),
        Output = space.Attention + ((ulong)rows.Start * (ulong)Shape.QueryWidth * (ulong)Shape.ElementSize),
        Count = space.Count(rows.Count),
        SlotStride = memory.SlotStride(memory.Plan.StageOf(layer)),
        RowStride = Shape.QueryKeyValueWidth,
        ValueOffset = Shape.KeyValueWidth,
        Heads = Shape.Config.HeadCount,
        KeyValueHeads = Shape.Config.KeyValueHeadCount,
        TokenCount = memory.TokenCount,
        Scale = (float)(Math.Log2(Math.E) / Math.Sqrt(Shape.Config.HeadSize)),
        NormalizedRows = memory.NormalizedRows,
        Normalizers = memory.Normalizers,
    };

    private void Attend(CudaWorkspace space, RowRange rows, AttentionArgs args) =>
        _attention.Launch(space.Stream, args with { Partials = space.Scratch(_attention.ScratchBytes(CudaWorkspace.TokenBucket(rows.Count), args.TokenCount)) });

    /// <summary>The product of Q, K and V that turns them by itself: of one row, or of many.</summary>
    private void LaunchTurning(CudaSequence memory, CudaWorkspace space, RowRange rows, int layer)
    {
        LinearArgs product = Product(space, layer, Projection.QueryKeyValue);
        RowCount count = space.Count(rows.Count);
        if (_linear.IsSingle(count))
        {
            _linear.LaunchSingle(space.Stream, Single(space, product) with { Turn = Turn(memory, layer) });
        }
        else
        {
            _linear.LaunchTurning(space.Stream, new GemmRopeSm90Args { Linear = product with { Count = count }, Turn = Turn(memory, layer) });
        }
    }

    private TurnArgs Turn(CudaSequence memory, int layer) => new()
    {
        Keys = memory.Keys(layer),
        Cosines = _weights.Cosines,
        Sines = _weights.Sines,
        Positions = memory.ComputePositions,
        Slots = memory.ComputeSlots,
        SlotStride = memory.SlotStride(memory.Plan.StageOf(layer)),
        Heads = Shape.Config.HeadCount,
        KeyValueHeads = Shape.Config.KeyValueHeadCount,
    };
}
