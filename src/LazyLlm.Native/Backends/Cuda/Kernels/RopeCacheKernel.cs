using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches rope_cache.cu.</summary>
internal sealed class RopeCacheKernel(KernelLibrary library, DeviceShape shape)
{
    private const uint Threads = 256;
    private const int MostSplitRows = 64;

    private readonly Kernel _kernel = library.Get(Program(shape), "lazyllm_rope_cache");

    /// <summary>What it is compiled from.</summary>
    public static KernelProgram Program(DeviceShape shape) => KernelVariant.ForHeads("rope_cache.cu", shape);

    /// <summary>Turns Q in place, and brings K and V of the rows into the stage cache.</summary>
    public void Launch(CudaStream stream, in RopeCacheArgs args)
    {
        // Few rows take several blocks each, so that no thread has more than an item: they are bound by its latency.
        int items = (args.Turn.Heads + (2 * args.Turn.KeyValueHeads)) * shape.Config.HeadSize / 8;
        uint parts = args.Count.Limit <= MostSplitRows ? ((uint)items + Threads - 1) / Threads : 1;
        _kernel.Launch(stream, new LaunchConfig((uint)args.Count.Limit, parts, 1, Threads) { DependentLaunch = true }, args);
    }
}
