using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches importance.cu.</summary>
internal sealed class ImportanceKernels
{
    private const int Threads = 256;
    private const int Stages = 2;

    private readonly Kernel _score;
    private readonly uint _sharedBytes;
    private readonly int _turnKeys;
    private readonly int _mostBlocks;

    public ImportanceKernels(KernelLibrary library, DeviceShape shape, CudaDevice device)
    {
        // As in importance.cu: keys of a group, and what a block takes in a turn.
        int lanes = AttentionKernels.LanesPerHead(shape);
        int groups = Threads / lanes;
        int keys = shape.ElementSize > sizeof(short) ? 2 : 4;
        int sets = shape.Config.HeadCount / AttentionKernels.HeadsPerBlock(shape);
        _score = library.Get(Program(shape), "lazyllm_score");
        _turnKeys = groups / Math.Min(sets, groups) * keys;
        _sharedBytes = (uint)(Stages * Threads * keys * 8 * shape.ElementSize);

        // What runs at once: each takes the keys in turn with the others.
        _mostBlocks = Math.Max(1, _score.BlocksPerMultiprocessor(Threads, (int)_sharedBytes)) * device.MultiprocessorCount;
    }

    /// <summary>What they are compiled from.</summary>
    public static KernelProgram Program(DeviceShape shape) => AttentionKernels.Variant("importance.cu", shape);

    /// <summary>Enqueues the scoring of T by the last <paramref name="queries"/> rows.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="attention">Rows, K/V and T, as for their attention, and the normalizers that it has left.</param>
    /// <param name="importance">By place in T, float32.</param>
    /// <param name="queries">Rows that score.</param>
    /// <param name="accumulate">Whether importance becomes the maximum of old and new.</param>
    public void Launch(CudaStream stream, in AttentionArgs attention, ulong importance, int queries, bool accumulate)
    {
        // The bucket, not the count: a recorded launch is replayed for more positions.
        int turns = (CudaWorkspace.TokenBucket(attention.TokenCount) + _turnKeys - 1) / _turnKeys;
        var args = new ScoreArgs { Attention = attention, Importance = importance, Queries = queries, Accumulate = accumulate ? 1 : 0 };
        _score.Launch(stream, new LaunchConfig((uint)Math.Min(turns, _mostBlocks), Threads) { SharedBytes = _sharedBytes, DependentLaunch = true }, args);
    }
}
