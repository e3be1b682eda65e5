using LazyLlm.Native.Backends;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Tests.Scheduling;

/// <summary>Operations that tell of themselves before they run, so that a test can count them, hold them up, or fail them.</summary>
internal sealed class ObservedOperations(IOperations inner) : IOperations
{
    /// <summary>
    /// Told of an operation, the rows it works on (for logits, their index) and its layer (for an embedding, the first
    /// position), on the thread that computes. What it throws, the operation throws.
    /// </summary>
    public Action<string, int, int>? Before { get; set; }

    /// <inheritdoc/>
    public DeviceLostException? Fault { get; set; }

    public string DeviceName => inner.DeviceName;

    public long WeightBytes => inner.WeightBytes;

    public long FreeBytes => inner.FreeBytes;

    public long CacheGranularity => inner.CacheGranularity;

    public ISequenceMemory CreateSequence(StagePlan plan, int capacity)
    {
        Tell(nameof(CreateSequence));
        return inner.CreateSequence(plan, capacity);
    }

    public IWorkspace CreateWorkspace()
    {
        Tell(nameof(CreateWorkspace));
        return inner.CreateWorkspace();
    }

    public void Embed(ISequenceMemory sequence, int first, ReadOnlySpan<int> tokens)
    {
        Tell(nameof(Embed), tokens.Length, first);
        inner.Embed(sequence, first, tokens);
    }

    public void EmbedRows(ISequenceMemory sequence, int first, ReadOnlySpan<float> embeddings) => inner.EmbedRows(sequence, first, embeddings);

    public StepTokens TakeAll(ISequenceMemory sequence, int first, int count)
    {
        Tell(nameof(TakeAll), count);
        return inner.TakeAll(sequence, first, count);
    }

    public StepTokens SelectTokens(ISequenceMemory sequence, in SelectionRequest request)
    {
        Tell(nameof(SelectTokens));
        return inner.SelectTokens(sequence, request);
    }

    public void GatherRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        Tell(nameof(GatherRows), rows.Count);
        inner.GatherRows(sequence, workspace, rows);
    }

    public void ScatterRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        Tell(nameof(ScatterRows), rows.Count);
        inner.ScatterRows(sequence, workspace, rows);
    }

    public bool BeginStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage, in StepTokens tokens, bool dense) =>
        inner.BeginStage(sequence, workspace, stage, tokens, dense);

    public void EndStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage) => inner.EndStage(sequence, workspace, stage);

    public void RmsNorm(IWorkspace workspace, int rows, int layer, LayerNorm norm)
    {
        Tell(nameof(RmsNorm), rows, layer);
        inner.RmsNorm(workspace, rows, layer, norm);
    }

    public void Linear(IWorkspace workspace, int rows, int layer, Projection projection)
    {
        Tell(projection.ToString(), rows, layer);
        inner.Linear(workspace, rows, layer, projection);
    }

    public void RopeToCache(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        Tell(nameof(RopeToCache), rows.Count, layer);
        inner.RopeToCache(sequence, workspace, rows, layer);
    }

    public void AttendDense(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        Tell(nameof(AttendDense), rows.Count, layer);
        inner.AttendDense(sequence, workspace, rows, layer);
    }

    public void KeepLastRow(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int index)
    {
        Tell(nameof(KeepLastRow), rows.Count);
        inner.KeepLastRow(sequence, workspace, rows, index);
    }

    public void AttendGathered(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        Tell(nameof(AttendGathered), rows.Count, layer);
        inner.AttendGathered(sequence, workspace, rows, layer);
    }

    public void ScoreLast(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer, int queries, bool accumulate)
    {
        Tell(nameof(ScoreLast), rows.Count, layer);
        inner.ScoreLast(sequence, workspace, rows, layer, queries, accumulate);
    }

    public void Logits(IWorkspace workspace, int row, int index)
    {
        Tell(nameof(Logits));
        inner.Logits(workspace, row, index);
    }

    public ReadOnlySpan<float> ReadLogits(IWorkspace workspace, int index)
    {
        Tell(nameof(ReadLogits), index);
        return inner.ReadLogits(workspace, index);
    }

    public int ArgMax(IWorkspace workspace, int index) => inner.ArgMax(workspace, index);

    public void Dispose() => inner.Dispose();

    private void Tell(string operation, int rows = 0, int layer = -1) => Before?.Invoke(operation, rows, layer);
}
