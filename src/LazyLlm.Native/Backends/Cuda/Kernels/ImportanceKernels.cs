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
    private const uint MeanPlaces = 32;

    // About what runs at once, eight on each of 132 multiprocessors. Measured (bench/gpu/one_row.py): 768 were up to a sixth slower from
    // 4,096 positions on.
    private const int MostBlocks = 1024;

    // What a block reads at once.
    private const int LeastTokensPerSplit = 64;

    // MOST_SCORE_SPLITS of importance.cu.
    private const int MostSplits = 128;

    private readonly Kernel _keys = library.Get(Program(shape), "lazyllm_score_keys");
    private readonly Kernel _mean = library.Get(Program(shape), "lazyllm_score_mean");

    // Of query heads, which share a K/V head and are taken together.
    private int Groups => shape.Config.HeadCount / AttentionKernels.HeadsPerBlock(shape);

    /// <summary>What they are compiled from.</summary>
    public static KernelProgram Program(DeviceShape shape) => AttentionKernels.Variant("importance.cu", shape);

    /// <summary>Bytes of scratch memory that <see cref="Launch"/> needs.</summary>
    public long ScratchBytes(int queries, int tokenCount) =>
        PartialBytes(queries, tokenCount) + ((long)queries * shape.Config.HeadCount * CudaWorkspace.TokenBucket(tokenCount) * sizeof(float));

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
        attention.Splits = Splits(queries, tokens);
        var args = new ScoreArgs
        {
            Attention = attention,
            Scores = scratch + (ulong)PartialBytes(queries, tokens),
            Partials = scratch,
            Importance = importance,
            ScoreStride = tokens,
            Queries = queries,
            Accumulate = accumulate ? 1 : 0,
        };
        _keys.Launch(stream, new LaunchConfig((uint)attention.Splits, (uint)Groups, (uint)queries, KeyThreads) { DependentLaunch = true }, args);
        _mean.Launch(stream, new LaunchConfig(((uint)tokens + MeanPlaces - 1) / MeanPlaces, MeanThreads) { DependentLaunch = true }, args);
    }

    /// <summary>Parts that the keys of |T| positions are split into: by the sequence's own counts alone, as the attention's are.</summary>
    private int Splits(int queries, int tokenCount) =>
        Math.Clamp(CudaWorkspace.TokenBucket(tokenCount) / LeastTokensPerSplit, 1, Math.Clamp(MostBlocks / (Groups * queries), 1, MostSplits));

    private long PartialBytes(int queries, int tokenCount) => (long)queries * shape.Config.HeadCount * Splits(queries, tokenCount) * 2 * sizeof(float);
}
