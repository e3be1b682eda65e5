using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches importance.cu.</summary>
internal sealed class ImportanceKernels(KernelLibrary library, DeviceShape shape)
{
    /// <summary>The most query heads whose scores can be averaged.</summary>
    public const int MostHeads = 512;

    private const uint KeyThreads = 128;
    private const uint MeanThreads = 256;

    private readonly Kernel _keys = library.Get(Program(shape), "lazyllm_score_keys");
    private readonly Kernel _mean = library.Get(Program(shape), "lazyllm_score_mean");

    /// <summary>What they are compiled from.</summary>
    public static KernelProgram Program(DeviceShape shape) => AttentionKernels.Variant("importance.cu", shape);

    /// <summary>Bytes of scratch memory that <see cref="Launch"/> needs.</summary>
    public long ScratchBytes(int queries, int tokenCount) =>
        (ScoreBytes(queries, tokenCount) + ((long)queries * shape.Config.HeadCount * AttentionKernels.Splits(tokenCount) * 2 * sizeof(float)));

    /// <summary>Enqueues the scoring of T by the last <paramref name="queries"/> rows.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="attention">Rows, K/V and T, as for the attention.</param>
    /// <param name="importance">By place in T, float32.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes.</param>
    /// <param name="queries">Rows that score.</param>
    /// <param name="accumulate">Whether importance becomes the maximum of old and new.</param>
    public void Launch(CudaStream stream, AttentionArgs attention, ulong importance, ulong scratch, int queries, bool accumulate)
    {
        // The bucket, not the count: a recorded launch is replayed for more positions.
        int tokens = CudaWorkspace.TokenBucket(attention.TokenCount);
        attention.Splits = AttentionKernels.Splits(tokens);
        var args = new ScoreArgs
        {
            Attention = attention,
            Scores = scratch,
            Partials = scratch + (ulong)ScoreBytes(queries, tokens),
            Importance = importance,
            ScoreStride = tokens,
            Queries = queries,
            Accumulate = accumulate ? 1 : 0,
        };
        uint groups = (uint)(shape.Config.HeadCount / AttentionKernels.HeadsPerBlock(shape));
        _keys.Launch(stream, new LaunchConfig((uint)attention.Splits, groups, (uint)queries, KeyThreads) { DependentLaunch = true }, args);
        _mean.Launch(stream, new LaunchConfig(((uint)tokens + MeanThreads - 1) / MeanThreads, MeanThreads) { DependentLaunch = true }, args);
    }

    private long ScoreBytes(int queries, int tokenCount) =>
        (long)queries * shape.Config.HeadCount * CudaWorkspace.TokenBucket(tokenCount) * sizeof(float);
}
