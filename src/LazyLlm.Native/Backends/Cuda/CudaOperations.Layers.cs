using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>What is done row by row: embedding, gather and scatter, norms, products, logits; and the replay of stages.</summary>
internal sealed partial class CudaOperations
{
    /// <summary>The most rows of a stage that is recorded: beyond, launching costs little beside the work.</summary>
    private const int MostRecordedRows = 64;

    private static readonly OperationName Embedding = new("embed");
    private static readonly OperationName Gathering = new("gather_rows");
    private static readonly OperationName Scattering = new("scatter_rows");
    private static readonly OperationName Norming = new("rms_norm");
    private static readonly OperationName FindingLogits = new("logits");
    private static readonly OperationName ReadingLogits = new("read_logits");
    private static readonly OperationName FindingMaximum = new("arg_max");
    private static readonly OperationName Replaying = new("replay_stage");
    private static readonly OperationName Recording = new("record_stage");
    private static readonly OperationName[] Products = [new("linear_qkv"), new("linear_attention_output"), new("linear_gate_up"), new("linear_down")];

    /// <inheritdoc/>
    public void Embed(ISequenceMemory sequence, int first, ReadOnlySpan<int> tokens)
    {
        using OperationScope scope = OperationScope.Open(Embedding);
        var memory = (CudaSequence)sequence;
        memory.Extend(first + tokens.Length);
        _embed.Launch(Stream, _weights.Embedding, memory.Aux, first, tokens);
    }

    /// <inheritdoc/>
    public void EmbedRows(ISequenceMemory sequence, int first, ReadOnlySpan<float> embeddings)
    {
        using OperationScope scope = OperationScope.Open(Embedding);
        var memory = (CudaSequence)sequence;
        int width = Shape.Config.HiddenSize;
        int count = embeddings.Length / width;
        memory.Extend(first + count);
        ReadOnlySpan<float> rows = embeddings;
        if (width != Shape.Hidden)
        {
            float[] padded = new float[count * Shape.Hidden];
            for (int i = 0; i < count; i++)
            {
                embeddings.Slice(i * width, width).CopyTo(padded.AsSpan(i * Shape.Hidden));
            }

            rows = padded;
        }

        Stream.UploadNow(memory.Aux + ((ulong)first * (ulong)Shape.Hidden * sizeof(float)), rows);
    }

    /// <inheritdoc/>
    public void GatherRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        // The norm that follows reads the rows anyway, and gathers them as it does.
        var space = (CudaWorkspace)workspace;
        space.Sequences.Add(rows);
        space.PendingGathers.Add(((CudaSequence)sequence, rows));
    }

    /// <inheritdoc/>
    public void ScatterRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        using OperationScope scope = OperationScope.Open(Scattering);
        var memory = (CudaSequence)sequence;
        var space = (CudaWorkspace)workspace;
        GatherNow(space);
        _rows.Scatter(space.Stream, memory.Aux, ResidualRow(space, rows.Start), memory.ComputePositions, space.Count(rows.Count));
    }

    /// <inheritdoc/>
    public bool BeginStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage, in StepTokens tokens, bool dense)
    {
        var memory = (CudaSequence)sequence;
        var space = (CudaWorkspace)workspace;
        if (tokens.Rows is 0 or > MostRecordedRows)
        {
            return false;
        }

        int rows = CudaWorkspace.TokenBucket(tokens.Rows);
        var shape = new StageShape(space.Identity, stage.Index, rows, CudaWorkspace.TokenBucket(tokens.TokenCount), tokens.Rows - tokens.Revived, dense);
        if (!memory.Graphs.Find(shape, out CudaGraphExec? graph))
        {
            return false;
        }

        if (graph is null)
        {
            using OperationScope recording = OperationScope.Open(Recording, stage.Index);
            space.Reserve(rows);
            space.BeginRecording(memory, shape);
            return false;
        }

        using OperationScope scope = OperationScope.Open(Replaying, stage.Index);
        graph.Launch(Stream);
        return true;
    }

    /// <inheritdoc/>
    public void EndStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage)
    {
        using OperationScope scope = OperationScope.Open(Recording, stage.Index);
        ((CudaWorkspace)workspace).EndRecording()?.Launch(Stream);
    }

    /// <inheritdoc/>
    public void RmsNorm(IWorkspace workspace, int rows, int layer, LayerNorm norm)
    {
        using OperationScope scope = OperationScope.Open(Norming, layer: layer);
        var space = (CudaWorkspace)workspace;
        LayerWeights weights = _weights.Layer(layer);
        ulong gains = norm == LayerNorm.Attention ? weights.AttentionNorm : weights.MlpNorm;
        if (space.PendingGathers.Count == 0 && _linear.IsSingle(space.Count(rows)))
        {
            space.PendingNorm = gains;
            return;
        }

        if (space.PendingGathers.Count == 0)
        {
            _rmsNorm.Launch(space.Stream, space.Residual, gains, space.Normed, space.Count(rows));
            return;
        }

        foreach ((CudaSequence memory, RowRange range) in space.PendingGathers)
        {
            ulong normed = space.Normed + ((ulong)range.Start * (ulong)Shape.Hidden * (ulong)Shape.ElementSize);
            _rmsNorm.LaunchGathering(space.Stream, memory.Aux, memory.ComputePositions, ResidualRow(space, range.Start), gains, normed, space.Count(range.Count));
        }

        space.PendingGathers.Clear();
    }

    /// <inheritdoc/>
    public void Linear(IWorkspace workspace, int rows, int layer, Projection projection)
    {
        using OperationScope scope = OperationScope.Open(Products[(int)projection], layer: layer);
        var space = (CudaWorkspace)workspace;
        GatherNow(space);
        LinearArgs args = Product(space, layer, projection);
        if (_linear.IsSingle(space.Count(rows)))
        {
            // Q and K are turned in the kernel that computes them, so that it waits for RopeToCache.
            space.PendingQueryKeyValue = projection == Projection.QueryKeyValue;
            if (!space.PendingQueryKeyValue)
            {
                _linear.LaunchSingle(space.Stream, Single(space, args));
            }

            return;
        }

        if (projection == Projection.QueryKeyValue && space.Sequences.Count == 1 && _linear.Turns(rows))
        {
            // Likewise, and to the same bits as in company, where each sequence's rows are turned behind the product of all.
            space.PendingQueryKeyValue = true;
            return;
        }

        // A sequence must get the same bits alone and in company, so its own row count chooses the kernel. Neighbours of
        // the same kind go together.
        int start = 0;
        int end = 0;
        LinearKind kind = _linear.KindOf(rows);
        foreach (RowRange range in space.Sequences)
        {
            LinearKind before = kind;
            kind = _linear.KindOf(range.Count);
            if (range.Start > start && kind != before)
            {
                LaunchProduct(space, args, start, end, before);
                start = range.Start;
            }

            end = range.End;
        }

        LaunchProduct(space, args, start, rows, kind);
    }

    /// <inheritdoc/>
    public void Logits(IWorkspace workspace, int row, int index)
    {
        using OperationScope scope = OperationScope.Open(FindingLogits);
        var space = (CudaWorkspace)workspace;
        GatherNow(space);
        RowCount count = space.Count(row + 1);
        var product = new LinearArgs
        {
            Input = space.Normed,
            Weights = _weights.OutputHead,
            Output = space.Logits(index),
            Count = RowCount.Of(1),
            N = Shape.Config.VocabularySize,
            K = Shape.Hidden,
            OutputStride = Shape.Config.VocabularySize,
            Epilogue = LinearEpilogue.StoreFloat,
        };
        if (_linear.IsSingle(count))
        {
            space.PendingNorm = _weights.FinalNorm;
            _linear.LaunchSingle(space.Stream, Single(space, product));
            return;
        }

        _rmsNorm.LaunchLast(space.Stream, space.Residual, _weights.FinalNorm, space.Normed, count);
        _linear.Launch(space.Stream, product);
    }

    /// <inheritdoc/>
    public ReadOnlySpan<float> ReadLogits(IWorkspace workspace, int index)
    {
        using OperationScope scope = OperationScope.Open(ReadingLogits);
        var space = (CudaWorkspace)workspace;
        int count = Shape.Config.VocabularySize;
        Stream.Download(space.LogitsOnHost(index), 0, space.Logits(index), (long)count * sizeof(float));
        space.Done.Record(Stream);
        space.Done.Synchronize();
        return space.LogitsOnHost(index).AsSpan<float>(0, count);
    }

    /// <inheritdoc/>
    public int ArgMax(IWorkspace workspace, int index)
    {
        using OperationScope scope = OperationScope.Open(FindingMaximum);
        var space = (CudaWorkspace)workspace;
        _sample.LaunchArgMax(Stream, space.Logits(index), space.Token.Pointer, Shape.Config.VocabularySize);
        Stream.Download(space.ReadToken, 0, space.Token.Pointer, sizeof(int));
        space.Done.Record(Stream);
        space.Done.Synchronize();
        return space.ReadToken.AsSpan<int>(0, 1)[0];
    }

    private ulong ResidualRow(CudaWorkspace space, int row) => space.Residual + ((ulong)row * (ulong)Shape.Hidden * sizeof(float));

    /// <summary>Gathers what no norm has gathered.</summary>
    private void GatherNow(CudaWorkspace space)
    {
        foreach ((CudaSequence memory, RowRange range) in space.PendingGathers)
        {
            using OperationScope scope = OperationScope.Open(Gathering);
            _rows.Gather(space.Stream, memory.Aux, ResidualRow(space, range.Start), memory.ComputePositions, space.Count(range.Count));
        }

        space.PendingGathers.Clear();
    }

    private LinearArgs Product(CudaWorkspace space, int layer, Projection projection)
    {
        LayerWeights weights = _weights.Layer(layer);
        return projection switch
        {
            Projection.QueryKeyValue => new LinearArgs { Input = space.Normed, Weights = weights.QueryKeyValue, Output = space.QueryKeyValue, N = Shape.QueryKeyValueWidth, K = Shape.Hidden, OutputStride = Shape.QueryKeyValueWidth, Epilogue = LinearEpilogue.Store },
            Projection.AttentionOutput => new LinearArgs { Input = space.Attention, Weights = weights.AttentionOutput, Output = space.Residual, N = Shape.Hidden, K = Shape.QueryWidth, OutputStride = Shape.Hidden, Epilogue = LinearEpilogue.AddResidual },
            Projection.GateUp => new LinearArgs { Input = space.Normed, Weights = weights.GateUp, Output = space.Activation, N = 2 * Shape.Intermediate, K = Shape.Hidden, OutputStride = Shape.Intermediate, Epilogue = LinearEpilogue.SwiGlu },
            _ => new LinearArgs { Input = space.Activation, Weights = weights.Down, Output = space.Residual, N = Shape.Hidden, K = Shape.Intermediate, OutputStride = Shape.Hidden, Epilogue = LinearEpilogue.AddResidual },
        };
    }

    /// <summary>The product of one row, whose input is normed on the way where a norm is pending.</summary>
    private GemvSm90Args Single(CudaWorkspace space, in LinearArgs product)
    {
        var args = new GemvSm90Args { Linear = product with { Count = space.Count(1) } };
        if (space.PendingNorm != 0 && product.Input == space.Normed)
        {
            args.Residual = space.Residual;
            args.Gains = space.PendingNorm;
            args.HiddenSize = Shape.Config.HiddenSize;
            args.Epsilon = (float)Shape.Config.NormEpsilon;
            space.PendingNorm = 0;
        }

        return args;
    }

    private void LaunchProduct(CudaWorkspace space, in LinearArgs args, int start, int end, LinearKind kind)
    {
        int outputSize = args.Epilogue == LinearEpilogue.AddResidual ? sizeof(float) : Shape.ElementSize;
        int step = kind == LinearKind.Streamed ? LinearKernels.MaxStreamedRows : Math.Max(1, end - start);
        for (int row = start; row < end; row += step)
        {
            LinearArgs part = args with
            {
                Input = args.Input + ((ulong)row * (ulong)args.K * (ulong)Shape.ElementSize),
                Output = args.Output + ((ulong)row * (ulong)args.OutputStride * (ulong)outputSize),
                Count = space.Count(Math.Min(step, end - row)),
            };
            _linear.Launch(space.Stream, part, kind);
        }
    }
}
