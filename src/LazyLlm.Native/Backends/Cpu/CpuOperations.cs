using System.Numerics.Tensors;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// The operations of the layer loop on the CPU, in float32 arithmetic. Every operation has run when its call returns.
/// Results do not depend on the number of threads: each number is computed by one thread, in an order that follows from the
/// sizes alone.
/// </summary>
internal sealed unsafe class CpuOperations : IOperations
{
    private readonly ModelConfig _config;
    private readonly CpuKernels _kernels;
    private readonly WorkerPool _pool;
    private readonly CpuWeights _weights;
    private readonly RotaryTable _rotary;

    private CpuOperations(ModelConfig config, CpuKernels kernels, WorkerPool pool, CpuWeights weights, int contextLength)
    {
        _config = config;
        _kernels = kernels;
        _pool = pool;
        _weights = weights;
        _rotary = RotaryTable.Create(config, contextLength);
    }

    /// <inheritdoc/>
    public string DeviceName => $"CPU ({_kernels.InstructionSet}, {_pool.ThreadCount} threads)";

    /// <inheritdoc/>
    public long WeightBytes => _weights.ByteLength;

    /// <summary>Reads a model's weights into memory.</summary>
    /// <param name="source">The weights.</param>
    /// <param name="contextLength">Positions that a sequence may have.</param>
    /// <param name="progress">Told as bytes are read.</param>
    /// <param name="cancellation">Stops the reading.</param>
    /// <param name="threadCount">Threads to compute with; 0 for as many as the process may use.</param>
    /// <param name="kernels">The instruction set to compute with; null for the best one.</param>
    /// <exception cref="DeviceMemoryException">The weights do not fit into memory.</exception>
    public static CpuOperations Load(
        ModelWeights source,
        int contextLength,
        IProgress<LoadProgress>? progress,
        CancellationToken cancellation,
        int threadCount = 0,
        CpuKernels? kernels = null)
    {
        kernels ??= CpuKernels.CreateBest();
        var pool = new WorkerPool(threadCount == 0 ? Environment.ProcessorCount : threadCount);
        try
        {
            CpuWeights weights = CpuWeights.Load(source, kernels, pool, progress, cancellation);
            return new CpuOperations(source.Config, kernels, pool, weights, contextLength);
        }
        catch
        {
            pool.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public ISequenceMemory CreateSequence(StagePlan plan, int capacity) => new CpuSequence(plan, _config.HiddenSize, _config.KeyValueWidth);

    /// <inheritdoc/>
    public IWorkspace CreateWorkspace() => new CpuWorkspace(_config);

    /// <inheritdoc/>
    public void Embed(ISequenceMemory sequence, int first, ReadOnlySpan<int> tokens)
    {
        var memory = (CpuSequence)sequence;
        memory.Extend(first + tokens.Length);
        for (int i = 0; i < tokens.Length; i++)
        {
            _weights.Embed(tokens[i], memory.Aux + ((nint)(first + i) * _config.HiddenSize));
        }
    }

    /// <inheritdoc/>
    public void EmbedRows(ISequenceMemory sequence, int first, ReadOnlySpan<float> embeddings)
    {
        var memory = (CpuSequence)sequence;
        memory.Extend(first + (embeddings.Length / _config.HiddenSize));
        embeddings.CopyTo(new Span<float>(memory.Aux + ((nint)first * _config.HiddenSize), embeddings.Length));
    }

    /// <inheritdoc/>
    public StepTokens TakeAll(ISequenceMemory sequence, int first, int count) => ((CpuSequence)sequence).TakeAll(first + count, first);

    /// <inheritdoc/>
    public StepTokens SelectTokens(ISequenceMemory sequence, in SelectionRequest request) => ((CpuSequence)sequence).Select(request);

    /// <inheritdoc/>
    public void GatherRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows) => CopyRows(sequence, workspace, rows, toAux: false);

    /// <inheritdoc/>
    public void ScatterRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows) => CopyRows(sequence, workspace, rows, toAux: true);

    /// <inheritdoc/>
    public bool BeginStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage, in StepTokens tokens, bool dense) => false;

    /// <inheritdoc/>
    public void EndStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage)
    {
    }

    /// <inheritdoc/>
    public void RmsNorm(IWorkspace workspace, int rows, int layer, LayerNorm norm)
    {
        var space = (CpuWorkspace)workspace;
        Norm(space, space.Residual, space.Normed, rows, _weights.Gains(layer, norm));
    }

    /// <inheritdoc/>
    public void Linear(IWorkspace workspace, int rows, int layer, Projection projection)
    {
        var space = (CpuWorkspace)workspace;
        CpuLayer weights = _weights.Layer(layer);
        switch (projection)
        {
            case Projection.QueryKeyValue:
                weights.QueryKeyValue.Multiply(_kernels, _pool, space.Normed, space.NormedStride, rows, space.QueryKeyValue, space.QueryKeyValueWidth);
                break;
            case Projection.AttentionOutput:
                weights.AttentionOutput.Multiply(_kernels, _pool, space.Attention, space.AttentionStride, rows, space.Residual, _config.HiddenSize);
                break;
            case Projection.GateUp:
                weights.GateUp.Multiply(_kernels, _pool, space.Normed, space.NormedStride, rows, space.Activation, space.ActivationStride);
                break;
            case Projection.Down:
                weights.Down.Multiply(_kernels, _pool, space.Activation, space.ActivationStride, rows, space.Residual, _config.HiddenSize);
                break;
        }
    }

    /// <inheritdoc/>
    public void RopeToCache(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        CpuStageCache cache = memory.StageOfLayer(layer);
        fixed (int* positions = memory.ComputePositions, slots = memory.ComputeSlots)
        fixed (float* cosines = _rotary.Cosines, sines = _rotary.Sines)
        {
            _kernels.RopeToCache(_pool, new RopeArguments
            {
                QueryKeyValue = space.QueryKeyValue + ((nint)rows.Start * space.QueryKeyValueWidth),
                Stride = space.QueryKeyValueWidth,
                Rows = rows.Count,
                Positions = positions,
                Slots = slots,
                Keys = cache.Keys(layer),
                Values = cache.Values(layer),
                CacheStride = _config.KeyValueWidth,
                Cosines = cosines,
                Sines = sines,
                HeadCount = _config.HeadCount,
                KeyValueHeadCount = _config.KeyValueHeadCount,
                HeadSize = _config.HeadSize,
            });
        }
    }

    /// <inheritdoc/>
    public void KeepLastRow(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int index)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        memory.ComputeLimits[0] = memory.ComputeLimits[rows.Count - 1];
        Move(space.Residual, _config.HiddenSize, rows.End - 1, index, _config.HiddenSize);
        Move(space.QueryKeyValue, space.QueryKeyValueWidth, rows.End - 1, index, _config.QueryWidth);

        static void Move(float* matrix, nint stride, int from, int to, int width) =>
            new ReadOnlySpan<float>(matrix + (from * stride), width).CopyTo(new Span<float>(matrix + (to * stride), width));
    }

    /// <inheritdoc/>
    public void AttendDense(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer) =>
        AttendGathered(sequence, workspace, rows, layer);

    /// <inheritdoc/>
    public void AttendGathered(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        fixed (int* limits = memory.ComputeLimits, slots = memory.TokenSlots)
        {
            _kernels.Attend(_pool, Attention(memory, space, rows, layer, limits, slots));
        }
    }

    /// <inheritdoc/>
    public void ScoreLast(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer, int queries, bool accumulate)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        int skipped = rows.Count - queries;
        fixed (int* limits = memory.ComputeLimits, slots = memory.TokenSlots)
        fixed (float* importance = memory.Importance)
        {
            var last = new RowRange(rows.Start + skipped, queries);
            _kernels.Score(_pool, Attention(memory, space, last, layer, limits + skipped, slots), importance, accumulate);
        }
    }

    /// <inheritdoc/>
    public void Logits(IWorkspace workspace, int row, int index)
    {
        var space = (CpuWorkspace)workspace;
        Norm(space, space.Residual + ((nint)row * _config.HiddenSize), space.AwaitLogits(index), 1, _weights.FinalGains);
    }

    /// <inheritdoc/>
    public ReadOnlySpan<float> ReadLogits(IWorkspace workspace, int index)
    {
        var space = (CpuWorkspace)workspace;
        while (space.TakeAwaited(out int first, out int count))
        {
            fixed (float* logits = space.Logits(first))
            {
                _weights.OutputHead.Multiply(_kernels, _pool, space.LastRow(first), space.NormedStride, count, logits, _config.VocabularySize);
            }
        }

        return space.Logits(index)[.._config.VocabularySize];
    }

    /// <inheritdoc/>
    public int ArgMax(IWorkspace workspace, int index) => TensorPrimitives.IndexOfMax(ReadLogits(workspace, index));

    /// <inheritdoc/>
    public void Dispose()
    {
        _pool.Dispose();
        _weights.Dispose();
    }

    private void CopyRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, bool toAux)
    {
        var memory = (CpuSequence)sequence;
        float* residual = ((CpuWorkspace)workspace).Residual + ((nint)rows.Start * _config.HiddenSize);
        RowCopy.Run(_pool, memory.Aux, residual, memory.ComputePositions.AsSpan(0, rows.Count), _config.HiddenSize, toAux);
    }

    /// <summary>Rows from <paramref name="normed"/> on = RMSNorm(residual rows from <paramref name="residual"/> on).</summary>
    private void Norm(CpuWorkspace space, float* residual, float* normed, int rows, float* gains) => _kernels.Norm(_pool, new NormArguments
    {
        Input = residual,
        InputStride = _config.HiddenSize,
        Output = normed,
        OutputStride = space.NormedStride,
        Gains = gains,
        Rows = rows,
        Width = _config.HiddenSize,
        Epsilon = _config.NormEpsilon,
    });

    private AttentionArguments Attention(CpuSequence memory, CpuWorkspace space, RowRange rows, int layer, int* limits, int* slots)
    {
        CpuStageCache cache = memory.StageOfLayer(layer);
        return new AttentionArguments
        {
            Query = space.QueryKeyValue + ((nint)rows.Start * space.QueryKeyValueWidth),
            QueryStride = space.QueryKeyValueWidth,
            Output = space.Attention + (rows.Start * space.AttentionStride),
            OutputStride = space.AttentionStride,
            Rows = rows.Count,
            Limits = limits,
            Keys = cache.Keys(layer),
            Values = cache.Values(layer),
            CacheStride = _config.KeyValueWidth,
            Slots = slots,
            TokenCount = memory.TokenCount,
            HeadCount = _config.HeadCount,
            KeyValueHeadCount = _config.KeyValueHeadCount,
            HeadSize = _config.HeadSize,
            Scale = (float)(1 / Math.Sqrt(_config.HeadSize)),
        };
    }
}
