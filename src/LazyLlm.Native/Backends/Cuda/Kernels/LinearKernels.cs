using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches gemm.cu and gemv.cu, and is the one place that chooses between them.</summary>
internal sealed class LinearKernels
{
    /// <summary>The most rows of the product that streams the weights.</summary>
    public const int MaxStreamedRows = 8;

    private const int GemvWarps = 4;
    private const uint GemmThreads = 128;

    private readonly int _multiprocessors;
    private readonly Kernel[] _gemv;
    private readonly Kernel? _large;
    private readonly Kernel? _small;
    private readonly Kernel? _plain;

    public LinearKernels(KernelLibrary library, DeviceShape shape, int multiprocessors)
    {
        _multiprocessors = multiprocessors;
        _gemv = [.. Enumerable.Range(0, 4).Select(i => library.Get(GemvProgram(shape), $"lazyllm_gemv_{1 << i}"))];
        if (shape.Storage == TensorType.Float32)
        {
            _plain = library.Get(GemmProgram(shape), "lazyllm_gemm_plain");
        }
        else
        {
            _large = library.Get(GemmProgram(shape), "lazyllm_gemm_large");
            _small = library.Get(GemmProgram(shape), "lazyllm_gemm_small");
        }
    }

    /// <summary>What the product of many rows is compiled from.</summary>
    public static KernelProgram GemmProgram(DeviceShape shape) => KernelVariant.ForStorage("gemm.cu", shape);

    /// <summary>What the product of few rows is compiled from.</summary>
    public static KernelProgram GemvProgram(DeviceShape shape) => KernelVariant.ForStorage("gemv.cu", shape);

    /// <summary>
    /// Enqueues a product. Up to 8 rows stream the weights, more go to the tensor cores. Within each way, what a row gets
    /// does not depend on how many there are.
    /// </summary>
    public void Launch(CudaStream stream, in LinearArgs args)
    {
        int rows = args.Count.Limit;
        if (rows <= MaxStreamedRows)
        {
            LaunchGemv(stream, args);
        }
        else if (_plain is not null)
        {
            _plain.Launch(stream, new LaunchConfig(Tiles(args.N, 64), Tiles(rows, 64), 1, 256), args);
        }
        else
        {
            LaunchGemm(stream, args);
        }
    }

    private static uint Tiles(int size, int tile) => (uint)((size + tile - 1) / tile);

    private void LaunchGemv(CudaStream stream, in LinearArgs args)
    {
        int rows = args.Count.Limit;
        int variant = rows <= 1 ? 0 : rows <= 2 ? 1 : rows <= 4 ? 2 : 3;
        int pairsPerBlock = GemvWarps * (variant < 2 ? 1 : 2);
        uint blocks = rows == 0 ? 0 : Tiles((args.N + 1) / 2, pairsPerBlock);
        _gemv[variant].Launch(stream, new LaunchConfig(blocks, 32 * GemvWarps), args);
    }

    private void LaunchGemm(CudaStream stream, in LinearArgs args)
    {
        // The large tile reuses what it reads the most, but only where there are enough of them for the whole GPU.
        uint large = Tiles(args.Count.Limit, 128) * Tiles(args.N, 128);
        if (args.Count.Limit > 64 && large >= (uint)_multiprocessors)
        {
            _large!.Launch(stream, new LaunchConfig(large, GemmThreads) { SharedBytes = 3 * (128 + 128) * 128 }, args);
        }
        else
        {
            uint small = Tiles(args.Count.Limit, 64) * Tiles(args.N, 32);
            _small!.Launch(stream, new LaunchConfig(small, GemmThreads) { SharedBytes = 4 * (64 + 32) * 128 }, args);
        }
    }
}
