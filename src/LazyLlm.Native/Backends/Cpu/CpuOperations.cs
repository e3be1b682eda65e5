using System.Numerics.Tensors;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The operations of the layer loop on the CPU, in float32 arithmetic. Every operation has run when its call returns.</summary>
internal sealed class CpuOperations : IOperations
{
    private readonly ModelConfig _config;
    private readonly CpuWeights _weights;
    private readonly RotaryTable _rotary;
    private readonly float _scale;

    private CpuOperations(ModelConfig config, CpuWeights weights, int contextLength)
    {
        _config = config;
        _weights = weights;
        _rotary = RotaryTable.Create(config, contextLength);
        _scale = (float)(1 / Math.Sqrt(config.HeadSize));
    }

    /// <inheritdoc/>
    public string DeviceName => "CPU";

    /// <inheritdoc/>
    public long WeightBytes => _weights.ByteLength;

    /// <summary>Reads a model's weights into memory.</summary>
    public static CpuOperations Load(ModelWeights source, int contextLength, IProgress<LoadProgress>? progress, CancellationToken cancellation) =>
        new(source.Config, CpuWeights.Load(source, progress, cancellation), contextLength);

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
            _weights[WeightRole.Embedding].WidenRow(tokens[i], AuxRow(memory, first + i));
        }
    }

    /// <inheritdoc/>
    public void EmbedRows(ISequenceMemory sequence, int first, ReadOnlySpan<float> embeddings)
    {
        var memory = (CpuSequence)sequence;
        memory.Extend(first + (embeddings.Length / _config.HiddenSize));
        embeddings.CopyTo(memory.Aux.AsSpan(first * _config.HiddenSize));
    }

    /// <inheritdoc/>
    public StepTokens TakeAll(ISequenceMemory sequence, int first, int count)
    {
        var memory = (CpuSequence)sequence;
        memory.TokenCount = first + count;
        for (int position = 0; position < memory.TokenCount; position++)
        {
            memory.TokenPositions[position] = position;
        }

        return AssignSlots(memory, 0, first);
    }

    /// <inheritdoc/>
    public StepTokens SelectTokens(ISequenceMemory sequence, in SelectionRequest request)
    {
        var memory = (CpuSequence)sequence;
        memory.TokenCount = TokenSelection.Select(memory.Importance, memory.TokenPositions, memory.TokenCount, memory.Stage(request.Stage), request);
        return AssignSlots(memory, request.Stage, request.FirstNew);
    }

    /// <inheritdoc/>
    public void GatherRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        for (int i = 0; i < rows.Count; i++)
        {
            AuxRow(memory, memory.ComputePositions[i]).CopyTo(space.Residual.AsSpan((rows.Start + i) * _config.HiddenSize));
        }
    }

    /// <inheritdoc/>
    public void ScatterRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        for (int i = 0; i < rows.Count; i++)
        {
            space.Residual.AsSpan((rows.Start + i) * _config.HiddenSize, _config.HiddenSize).CopyTo(AuxRow(memory, memory.ComputePositions[i]));
        }
    }

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
        CpuMatrix weight = _weights[norm == LayerNorm.Attention ? WeightRole.AttentionNorm : WeightRole.MlpNorm, layer];
        float[] gains = new float[_config.HiddenSize];
        weight.WidenRow(0, gains);
        for (int row = 0; row < rows; row++)
        {
            Norm(space.Residual.AsSpan(row * _config.HiddenSize, _config.HiddenSize), gains, space.Normed.AsSpan(row * _config.HiddenSize, _config.HiddenSize));
        }
    }

    /// <inheritdoc/>
    public void Linear(IWorkspace workspace, int rows, int layer, Projection projection)
    {
        var space = (CpuWorkspace)workspace;
        switch (projection)
        {
            case Projection.QueryKeyValue:
                int width = space.QueryKeyValueWidth;
                Product(space.Normed, rows, _weights[WeightRole.Query, layer], space.QueryKeyValue, width, 0, add: false);
                Product(space.Normed, rows, _weights[WeightRole.Key, layer], space.QueryKeyValue, width, _config.QueryWidth, add: false);
                Product(space.Normed, rows, _weights[WeightRole.Value, layer], space.QueryKeyValue, width, _config.QueryWidth + _config.KeyValueWidth, add: false);
                break;
            case Projection.AttentionOutput:
                Product(space.Attention, rows, _weights[WeightRole.AttentionOutput, layer], space.Residual, _config.HiddenSize, 0, add: true);
                break;
            case Projection.GateUp:
                float[] gates = new float[rows * _config.IntermediateSize];
                Product(space.Normed, rows, _weights[WeightRole.Gate, layer], gates, _config.IntermediateSize, 0, add: false);
                Product(space.Normed, rows, _weights[WeightRole.Up, layer], space.Activation, _config.IntermediateSize, 0, add: false);
                for (int i = 0; i < gates.Length; i++)
                {
                    space.Activation[i] *= gates[i] / (1 + MathF.Exp(-gates[i]));
                }

                break;
            case Projection.Down:
                Product(space.Activation, rows, _weights[WeightRole.Down, layer], space.Residual, _config.HiddenSize, 0, add: true);
                break;
        }
    }

    /// <inheritdoc/>
    public void RopeToCache(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        CpuStageCache cache = memory.StageOfLayer(layer);
        int width = _config.KeyValueWidth;
        for (int i = 0; i < rows.Count; i++)
        {
            int position = memory.ComputePositions[i];
            int slot = memory.ComputeSlots[i];
            Span<float> row = space.QueryKeyValue.AsSpan((rows.Start + i) * space.QueryKeyValueWidth, space.QueryKeyValueWidth);
            for (int head = 0; head < _config.HeadCount + _config.KeyValueHeadCount; head++)
            {
                Rotate(row.Slice(head * _config.HeadSize, _config.HeadSize), position);
            }

            row.Slice(_config.QueryWidth, width).CopyTo(cache.Keys(layer).AsSpan(slot * width));
            row.Slice(_config.QueryWidth + width, width).CopyTo(cache.Values(layer).AsSpan(slot * width));
        }
    }

    /// <inheritdoc/>
    public void AttendDense(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer) =>
        AttendGathered(sequence, workspace, rows, layer);

    /// <inheritdoc/>
    public void AttendGathered(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        CpuStageCache cache = memory.StageOfLayer(layer);
        int group = _config.HeadCount / _config.KeyValueHeadCount;
        Parallel.For(0, rows.Count * _config.HeadCount, work =>
        {
            int i = work / _config.HeadCount;
            int head = work % _config.HeadCount;
            int seen = Array.BinarySearch(memory.TokenPositions, 0, memory.TokenCount, memory.ComputePositions[i]) + 1;
            float[] scores = new float[seen];
            Probabilities(memory, space, cache, layer, rows.Start + i, head, scores);
            Span<float> output = space.Attention.AsSpan(((rows.Start + i) * _config.QueryWidth) + (head * _config.HeadSize), _config.HeadSize);
            output.Clear();
            for (int j = 0; j < seen; j++)
            {
                ReadOnlySpan<float> value = cache.Values(layer).AsSpan((memory.TokenSlots[j] * _config.KeyValueWidth) + (head / group * _config.HeadSize), _config.HeadSize);
                TensorPrimitives.MultiplyAdd(value, scores[j], output, output);
            }
        });
    }

    /// <inheritdoc/>
    public void ScoreLast(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer, int queries, bool accumulate)
    {
        var memory = (CpuSequence)sequence;
        var space = (CpuWorkspace)workspace;
        CpuStageCache cache = memory.StageOfLayer(layer);
        float[] mean = new float[memory.TokenCount];
        float[] scores = new float[memory.TokenCount];
        for (int i = rows.Count - queries; i < rows.Count; i++)
        {
            int seen = Array.BinarySearch(memory.TokenPositions, 0, memory.TokenCount, memory.ComputePositions[i]) + 1;
            for (int head = 0; head < _config.HeadCount; head++)
            {
                Probabilities(memory, space, cache, layer, rows.Start + i, head, scores.AsSpan(0, seen));
                TensorPrimitives.Add(mean.AsSpan(0, seen), scores.AsSpan(0, seen), mean.AsSpan(0, seen));
            }
        }

        TensorPrimitives.Multiply(mean, 1f / (queries * _config.HeadCount), mean);
        Span<float> importance = memory.Importance.AsSpan(0, memory.TokenCount);
        if (accumulate)
        {
            TensorPrimitives.Max(importance, mean, importance);
        }
        else
        {
            mean.CopyTo(importance);
        }
    }

    /// <inheritdoc/>
    public void Logits(IWorkspace workspace, int row, int index)
    {
        var space = (CpuWorkspace)workspace;
        float[] gains = new float[_config.HiddenSize];
        float[] normed = new float[_config.HiddenSize];
        _weights[WeightRole.FinalNorm].WidenRow(0, gains);
        Norm(space.Residual.AsSpan(row * _config.HiddenSize, _config.HiddenSize), gains, normed);
        Product(normed, 1, _weights[WeightRole.OutputHead], space.Logits(index), _config.VocabularySize, 0, add: false);
    }

    /// <inheritdoc/>
    public ReadOnlySpan<float> ReadLogits(IWorkspace workspace, int index) => ((CpuWorkspace)workspace).Logits(index);

    /// <inheritdoc/>
    public int ArgMax(IWorkspace workspace, int index) => TensorPrimitives.IndexOfMax(ReadLogits(workspace, index));

    /// <inheritdoc/>
    public void Dispose() => _weights.Dispose();

    private static StepTokens AssignSlots(CpuSequence memory, int stage, int firstNew)
    {
        CpuStageCache cache = memory.Stage(stage);
        int computed = 0;
        int revived = 0;
        for (int i = 0; i < memory.TokenCount; i++)
        {
            int position = memory.TokenPositions[i];
            int slot = cache.SlotOf(position);
            if (slot < 0)
            {
                slot = cache.Add(position);
                memory.ComputePositions[computed] = position;
                memory.ComputeSlots[computed] = slot;
                computed++;
                revived += position < firstNew ? 1 : 0;
            }

            memory.TokenSlots[i] = slot;
        }

        memory.ComputeCount = computed;
        return new StepTokens(memory.TokenCount, computed, revived);
    }

    private Span<float> AuxRow(CpuSequence memory, int position) => memory.Aux.AsSpan(position * _config.HiddenSize, _config.HiddenSize);

    private void Norm(ReadOnlySpan<float> x, ReadOnlySpan<float> gains, Span<float> result)
    {
        double meanSquare = TensorPrimitives.SumOfSquares(x) / (double)x.Length;
        TensorPrimitives.Multiply(x, (float)(1 / Math.Sqrt(meanSquare + _config.NormEpsilon)), result);
        TensorPrimitives.Multiply(result, gains, result);
    }

    private void Rotate(Span<float> head, int position)
    {
        int pairs = _rotary.Pairs;
        ReadOnlySpan<float> cosines = _rotary.Cosines.AsSpan(position * pairs, pairs);
        ReadOnlySpan<float> sines = _rotary.Sines.AsSpan(position * pairs, pairs);
        for (int i = 0; i < pairs; i++)
        {
            float low = head[i];
            float high = head[i + pairs];
            head[i] = (low * cosines[i]) - (high * sines[i]);
            head[i + pairs] = (high * cosines[i]) + (low * sines[i]);
        }
    }

    /// <summary>Attention probabilities of one row and head over the first scores.Length entries of T.</summary>
    private void Probabilities(CpuSequence memory, CpuWorkspace space, CpuStageCache cache, int layer, int row, int head, Span<float> scores)
    {
        int group = _config.HeadCount / _config.KeyValueHeadCount;
        ReadOnlySpan<float> query = space.QueryKeyValue.AsSpan((row * space.QueryKeyValueWidth) + (head * _config.HeadSize), _config.HeadSize);
        for (int j = 0; j < scores.Length; j++)
        {
            ReadOnlySpan<float> key = cache.Keys(layer).AsSpan((memory.TokenSlots[j] * _config.KeyValueWidth) + (head / group * _config.HeadSize), _config.HeadSize);
            scores[j] = TensorPrimitives.Dot(query, key) * _scale;
        }

        TensorPrimitives.SoftMax(scores, scores);
    }

    private static void Product(float[] input, int rows, CpuMatrix weight, float[] output, int stride, int offset, bool add)
    {
        Parallel.For(0, weight.Rows, () => new float[weight.Columns], (n, _, widened) =>
        {
            weight.WidenRow(n, widened);
            for (int row = 0; row < rows; row++)
            {
                float sum = TensorPrimitives.Dot<float>(input.AsSpan(row * weight.Columns, weight.Columns), widened);
                ref float target = ref output[(row * stride) + offset + n];
                target = add ? target + sum : sum;
            }

            return widened;
        }, _ => { });
    }
}
