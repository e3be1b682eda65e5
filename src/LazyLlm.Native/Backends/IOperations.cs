using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends;

/// <summary>
/// One model's weights on one device, and the operations that the layer loop is written over. Operations on a sequence
/// run in the order of the calls; they may still be running on the device when a call returns, and only
/// <see cref="SelectTokens"/> (where counts are data), <see cref="ReadLogits"/> and <see cref="ArgMax"/> wait.
/// Safe for several callers as long as each has its own sequences and workspace.
/// </summary>
/// <remarks>Within one process, results do not depend on other callers or on the number of threads, bit for bit.</remarks>
internal interface IOperations : IDisposable
{
    /// <summary>The device, in words.</summary>
    string DeviceName { get; }

    /// <summary>Bytes that the weights take on the device.</summary>
    long WeightBytes { get; }

    /// <summary>Bytes that could still be taken for caches: the host's free memory where the device has none of its own.</summary>
    long FreeBytes
    {
        get
        {
            GCMemoryInfo memory = GC.GetGCMemoryInfo();
            return Math.Max(0, memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes);
        }
    }

    /// <summary>Waits for the device, and tells an attached profiler to start or stop collecting.</summary>
    /// <returns>False where the device has no profiler to tell.</returns>
    bool Profile(bool collect) => false;

    /// <summary>What sizes of caches are rounded up to when memory is taken for them, in bytes.</summary>
    long CacheGranularity => 1;

    /// <summary>The error that ended the device's service, or null. Nothing works after it.</summary>
    DeviceLostException? Fault => null;

    /// <summary>Memory for a session of at most <paramref name="capacity"/> positions.</summary>
    ISequenceMemory CreateSequence(StagePlan plan, int capacity);

    /// <summary>Memory for a pass.</summary>
    IWorkspace CreateWorkspace();

    /// <summary>Aux[first + i] = embedding of tokens[i].</summary>
    void Embed(ISequenceMemory sequence, int first, ReadOnlySpan<int> tokens);

    /// <summary>Aux[first + i] = row i of <paramref name="embeddings"/> (rows of hidden size): prompt embeddings in place of tokens.</summary>
    void EmbedRows(ISequenceMemory sequence, int first, ReadOnlySpan<float> embeddings);

    /// <summary>Stage 0: T = positions 0 .. first + count, C = the new ones, with slots equal to their positions.</summary>
    StepTokens TakeAll(ISequenceMemory sequence, int first, int count);

    /// <summary>A later stage: T = what the request asks of the last T by importance, ascending, ties to the lower position; C = those of T without a slot, which get the next slots in ascending order.</summary>
    StepTokens SelectTokens(ISequenceMemory sequence, in SelectionRequest request);

    /// <summary>Residual rows = Aux[C].</summary>
    void GatherRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows);

    /// <summary>Aux[C] = residual rows.</summary>
    void ScatterRows(ISequenceMemory sequence, IWorkspace workspace, RowRange rows);

    /// <summary>
    /// Opens a stage of a pass over one sequence, before its rows are gathered. True: the device replays recorded work for
    /// the whole stage, and the caller issues none of its operations (gather, layers, score, scatter, logits), only
    /// <see cref="EndStage"/>.
    /// </summary>
    bool BeginStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage, in StepTokens tokens, bool dense);

    /// <summary>Closes what <see cref="BeginStage"/> opened.</summary>
    void EndStage(ISequenceMemory sequence, IWorkspace workspace, Stage stage);

    /// <summary>Normed rows 0 .. rows = RMSNorm(residual rows).</summary>
    void RmsNorm(IWorkspace workspace, int rows, int layer, LayerNorm norm);

    /// <summary>One of the layer's products over rows 0 .. rows, with its epilogue.</summary>
    void Linear(IWorkspace workspace, int rows, int layer, Projection projection);

    /// <summary>Rotates Q and K of the QKV rows at the positions of C; Q stays in place, K and V go to C's slots of the stage cache.</summary>
    void RopeToCache(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer);

    /// <summary>
    /// For the model's last layer, of which only the newest position's output matters, once K and V of all of C stand in the
    /// cache: from here to the pass's end the sequence's rows are its last one alone. Moves that row's residual and Q to row
    /// <paramref name="index"/>, and lets C be that position. Called for the sequences of a pass in order, with indices from 0.
    /// </summary>
    void KeepLastRow(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int index);

    /// <summary>Attention rows: each i of C over { j in T : j &lt;= i }, where slot order is position order and C is T's tail.</summary>
    void AttendDense(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer);

    /// <summary>Attention rows: each i of C over { j in T : j &lt;= i }, through T's slot list.</summary>
    void AttendGathered(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer);

    /// <summary>
    /// Importance over T: mean over query heads, and over the last <paramref name="queries"/> rows, of the attention
    /// probability that the row pays to each position (zero behind the row). With <paramref name="accumulate"/>, the maximum
    /// with what stands there.
    /// </summary>
    void ScoreLast(ISequenceMemory sequence, IWorkspace workspace, RowRange rows, int layer, int queries, bool accumulate);

    /// <summary>Logits of sequence <paramref name="index"/> of the pass = head(norm(residual row <paramref name="row"/>)).</summary>
    void Logits(IWorkspace workspace, int row, int index);

    /// <summary>Waits for, or computes, and returns logits <paramref name="index"/>; valid until the next pass on this workspace.</summary>
    ReadOnlySpan<float> ReadLogits(IWorkspace workspace, int index);

    /// <summary>Waits for and returns the token with the highest logit of <paramref name="index"/>, the lower one among equals.</summary>
    int ArgMax(IWorkspace workspace, int index);
}
