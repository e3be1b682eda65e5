using System.Diagnostics;
using LazyLlm.Native.Backends;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Bench;

/// <summary>Operations that note how long each kind of call took. On the CPU an operation has run when its call returns.</summary>
internal sealed class CpuTimedOperations(IOperations inner) : IOperations
{
    /// <summary>Seconds by operation since the last <see cref="Restart"/>.</summary>
    public Dictionary<string, double> Seconds { get; } = [];

    public string DeviceName => inner.DeviceName;

    public long WeightBytes => inner.WeightBytes;

    public void Restart() => Seconds.Clear();

    public ISequenceMemory CreateSequence(StagePlan plan, int capacity) => inner.CreateSequence(plan, capacity);

    public IWorkspace CreateWorkspace() => inner.CreateWorkspace();

    public void Embed(ISequenceMemory sequence, int first, ReadOnlySpan<int> tokens)
    {
        long start = Stopwatch.GetTimestamp();
        inner.Embed(sequence, first, tokens);
        Note("embed", start);
    }

    public void EmbedRows(ISequenceMemory sequence, int first, ReadOnlySpan<float> embeddings) => inner.EmbedRows(sequence, first, embeddings);

    public StepTokens TakeAll(ISequenceMemory sequence, int first, int count)
    {
        long start = Stopwatch.GetTimestamp();
        StepTokens tokens = inner.TakeAll(sequence, first, count);
        Note("choose", start);
        return tokens;
    }

    public StepTokens SelectTokens(ISequenceMemory sequence, in SelectionRequest request)
    {
        long start = Stopwatch.GetTimestamp();
        StepTokens tokens = inner.SelectTokens(sequence, request);
        Note("choose", start);
        return tokens;
    }

    public void GatherRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        long start = Stopwatch.GetTimestamp();
        inner.GatherRows(sequence, workspace, rows);
        Note("gather", start);
    }

    public void ScatterRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows)
    {
        long start = Stopwatch.GetTimestamp();
        inner.ScatterRows(sequence, workspace, rows);
        Note("scatter", start);
    }

    public bool BeginStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage, in StepTokens tokens, bool dense) =>
        inner.BeginStage(sequence, workspace, stage, tokens, dense);

    public void EndStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage) => inner.EndStage(sequence, workspace, stage);

    public void RmsNorm(IWorkspace workspace, int rows, int layer, LayerNorm norm)
    {
        long start = Stopwatch.GetTimestamp();
        inner.RmsNorm(workspace, rows, layer, norm);
        Note("norm", start);
    }

    public void Linear(IWorkspace workspace, int rows, int layer, Projection projection)
    {
        long start = Stopwatch.GetTimestamp();
        inner.Linear(workspace, rows, layer, projection);
        Note("products", start);
    }

    public void RopeToCache(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        long start = Stopwatch.GetTimestamp();
        inner.RopeToCache(sequence, workspace, rows, layer);
        Note("rope", start);
    }

    public void KeepLastRow(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int index) => inner.KeepLastRow(sequence, workspace, rows, index);

    public void AttendDense(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        long start = Stopwatch.GetTimestamp();
        inner.AttendDense(sequence, workspace, rows, layer);
        Note("attention", start);
    }

    public void AttendGathered(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer)
    {
        long start = Stopwatch.GetTimestamp();
        inner.AttendGathered(sequence, workspace, rows, layer);
        Note("attention", start);
    }

    public void ScoreLast(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer, int queries, bool accumulate)
    {
        long start = Stopwatch.GetTimestamp();
        inner.ScoreLast(sequence, workspace, rows, layer, queries, accumulate);
        Note("score", start);
    }

    public void Logits(IWorkspace workspace, int row, int index)
    {
        long start = Stopwatch.GetTimestamp();
        inner.Logits(workspace, row, index);
        Note("logits", start);
    }

    public ReadOnlySpan<float> ReadLogits(IWorkspace workspace, int index) => inner.ReadLogits(workspace, index);

    public int ArgMax(IWorkspace workspace, int index) => inner.ArgMax(workspace, index);

    public void Dispose() => inner.Dispose();

    private void Note(string operation, long start) =>
        Seconds[operation] = Seconds.GetValueOrDefault(operation) + Stopwatch.GetElapsedTime(start).TotalSeconds;
}
