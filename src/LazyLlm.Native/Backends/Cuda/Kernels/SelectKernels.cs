using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches select.cu and select_blocks.cu, and chooses between one block and several.</summary>
internal sealed class SelectKernels(KernelLibrary library)
{
    /// <summary>Places that one block chooses from; more take several blocks.</summary>
    public const int Tile = 8192;

    /// <summary>The most places there may be.</summary>
    public const int MostTokens = 256 * Tile;

    /// <summary>Bytes that several blocks share: the size of <c>SelectShared</c>.</summary>
    public const int SharedBytes = (MostTiles * 256 * sizeof(ushort)) + (3 * MostTiles * sizeof(int)) + 32;

    private const uint Threads = 512;

    // Of several blocks, each with so many places at least: fewer would not make it faster. At most, they fit 16 bits.
    private const int MostTiles = 40;
    private const int LeastTile = 2048;

    private static readonly KernelProgram BlockProgram = new("select.cu");
    private static readonly KernelProgram BlocksProgram = new("select_blocks.cu");

    private readonly Kernel _takeAll = library.Get(BlockProgram, "lazyllm_take_all");
    private readonly Kernel _block = library.Get(BlockProgram, "lazyllm_select_block");
    private readonly Kernel _wideBlock = library.Get(BlockProgram, "lazyllm_select_block_wide");
    private readonly Kernel _mass = library.Get(BlockProgram, "lazyllm_select_mass");
    private readonly Kernel _histogram = library.Get(BlocksProgram, "lazyllm_select_histogram");
    private readonly Kernel _candidates = library.Get(BlocksProgram, "lazyllm_select_candidates");
    private readonly Kernel _write = library.Get(BlocksProgram, "lazyllm_select_write");

    /// <summary>What they are compiled from.</summary>
    public static IEnumerable<KernelProgram> Programs => [BlockProgram, BlocksProgram];

    /// <summary>T = every position, C = the new ones.</summary>
    public void LaunchTakeAll(CudaStream stream, in TakeAllArgs args) =>
        _takeAll.Launch(stream, new LaunchConfig(((uint)args.Length + Threads - 1) / Threads, Threads), args);

    /// <summary>
    /// The next T and C by importance. One block unless <paramref name="args"/> counts more than <see cref="Tile"/>, or
    /// <paramref name="severalBlocks"/> asks for more; by mass always one.
    /// </summary>
    public void LaunchSelect(CudaStream stream, SelectArgs args, bool severalBlocks = false)
    {
        // Each waits by itself for the one before it. The last does not let the layers behind it start early: they read what
        // it writes without waiting.
        var one = new LaunchConfig(1, Threads) { DependentLaunch = true };
        bool isStatic = args.IsStatic != 0;
        if (args.Mass > 0 && !isStatic)
        {
            _mass.Launch(stream, one, args);
            return;
        }

        if (args.Count <= Tile && !severalBlocks)
        {
            (args.Count <= Tile / 2 ? _block : _wideBlock).Launch(stream, one, args);
            return;
        }

        args.Tile = TilePlaces(args.Count);
        LaunchConfig tiles = one with { GridX = (uint)((args.Count + args.Tile - 1) / args.Tile) };
        if (!isStatic)
        {
            _histogram.Launch(stream, tiles, args);
        }

        _candidates.Launch(stream, tiles, args);
        _write.Launch(stream, tiles, args);
    }

    /// <summary>Places per block of several: whole warps' worth.</summary>
    private static int TilePlaces(int count) => Math.Max(LeastTile, ((count + MostTiles - 1) / MostTiles + 31) / 32 * 32);
}
