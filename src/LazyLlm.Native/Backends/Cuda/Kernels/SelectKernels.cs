using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches select.cu and select_blocks.cu, and chooses between one block and several.</summary>
internal sealed class SelectKernels(KernelLibrary library)
{
    /// <summary>Places that one block chooses from; more take several blocks.</summary>
    public const int Tile = 8192;

    /// <summary>The most places there may be: 256 tiles.</summary>
    public const int MostTokens = 256 * Tile;

    /// <summary>Bytes that several blocks share: the size of <c>SelectShared</c>.</summary>
    public const int SharedBytes = (4 * 256 * (8 + 4)) + (256 * (8 + 4 + 4 + 4));

    private const uint Threads = 1024;
    private const int Digits = 4;

    private static readonly KernelProgram BlockProgram = new("select.cu");
    private static readonly KernelProgram BlocksProgram = new("select_blocks.cu");

    private readonly Kernel _takeAll = library.Get(BlockProgram, "lazyllm_take_all");
    private readonly Kernel _block = library.Get(BlockProgram, "lazyllm_select_block");
    private readonly Kernel _keys = library.Get(BlocksProgram, "lazyllm_select_keys");
    private readonly Kernel _histogram = library.Get(BlocksProgram, "lazyllm_select_histogram");
    private readonly Kernel _count = library.Get(BlocksProgram, "lazyllm_select_count");
    private readonly Kernel _countComputed = library.Get(BlocksProgram, "lazyllm_select_count_computed");
    private readonly Kernel _write = library.Get(BlocksProgram, "lazyllm_select_write");

    /// <summary>What they are compiled from.</summary>
    public static IEnumerable<KernelProgram> Programs => [BlockProgram, BlocksProgram];

    /// <summary>T = every position, C = the new ones.</summary>
    public void LaunchTakeAll(CudaStream stream, in TakeAllArgs args) =>
        _takeAll.Launch(stream, new LaunchConfig(((uint)args.Length + Threads - 1) / Threads, Threads), args);

    /// <summary>The next T and C by importance. One block unless <paramref name="args"/> counts more than <see cref="Tile"/>, or <paramref name="severalBlocks"/> asks for it.</summary>
    public void LaunchSelect(CudaStream stream, SelectArgs args, bool severalBlocks = false)
    {
        if (args.Count <= Tile && !severalBlocks)
        {
            _block.Launch(stream, new LaunchConfig(1, Threads), args);
            return;
        }

        stream.Fill(args.Shared, 0, SharedBytes);
        stream.Fill(args.State, 0, 4 * sizeof(int));
        var tiles = new LaunchConfig(((uint)args.Count + Tile - 1) / Tile, Threads);
        _keys.Launch(stream, new LaunchConfig(((uint)args.Count + Threads - 1) / Threads, Threads), args);
        for (args.Digit = 0; args.Digit < Digits && args.IsStatic == 0; args.Digit++)
        {
            _histogram.Launch(stream, tiles, args);
        }

        _count.Launch(stream, tiles, args);
        _countComputed.Launch(stream, tiles, args);
        _write.Launch(stream, tiles, args);
    }
}
