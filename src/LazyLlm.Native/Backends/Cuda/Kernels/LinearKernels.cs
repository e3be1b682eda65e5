using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Interop.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches gemm_sm90.cu, gemm_rope_sm90.cu, gemv_sm90.cu, gemm.cu and gemv.cu, and is the one place that chooses between them.</summary>
internal sealed class LinearKernels
{
    /// <summary>The most rows of the product that streams the weights: those of several sequences, of few rows each.</summary>
    public const int MaxStreamedRows = 8;

    /// <summary>Rows of memory behind a product's input that it may read, whatever stands there: whole tiles, of up to 192 rows.</summary>
    public const int SpareRows = 191;

    // Of one sequence: with more the matrix units are faster, on Hopper with more than one. Measured (bench/gpu/few_rows.py and gemm.py).
    private const int MostOwnStreamedRows = 4;

    private const int GemvWarps = 4;
    private const uint GemmThreads = 128;
    private const int MostFewRows = 16;
    private const uint FewThreads = 64;

    private const int SingleWarps = 8;
    private const int SingleStages = 4;
    private const int SingleColumns = 1024;
    private const int MostSingleColumns = 40960;

    // What a tile costs beside its steps, in columns of each row: where a ring fills and its sums are written. Measured (bench/gpu/gemm.py).
    private const int HopperTileCost = 20;

    // In hundredths. Measured.
    private const int LoneWarpgroupCost = 150;

    // Rows of gemv.cu's kernels.
    private static readonly int[] StreamedRows = [1, 4, 8];

    // Where the cost is the same the first is taken: the largest, which reads the least for each output.
    private static readonly HopperTile[] HopperTiles = [new(192, 256), new(128, 256), new(128, 192), new(128, 128), new(128, 64), new(64, 192), new(64, 128), new(64, 64)];

    // Whole heads of 64 or 128 numbers. With 192 rows the turning would need more registers than there are.
    private static readonly HopperTile[] TurningTiles = [new(128, 256), new(128, 128), new(64, 128)];

    private readonly DeviceShape _shape;
    private readonly int _multiprocessors;
    private readonly Kernel[] _gemv;
    private readonly Kernel? _large;
    private readonly Kernel? _small;
    private readonly Kernel? _few;
    private readonly Kernel? _plain;
    private readonly Kernel[]? _hopper;
    private readonly Kernel[]? _turning;
    private readonly Kernel? _single;

    public LinearKernels(KernelLibrary library, DeviceShape shape, CudaDevice device)
    {
        _shape = shape;
        _multiprocessors = device.MultiprocessorCount;
        _gemv = [.. StreamedRows.Select(rows => library.Get(GemvProgram(shape), $"lazyllm_gemv_{rows}"))];
        if (shape.Storage == TensorType.Float32)
        {
            _plain = library.Get(GemmProgram(shape), "lazyllm_gemm_plain");
        }
        else
        {
            _large = library.Get(GemmProgram(shape), "lazyllm_gemm_large");
            _small = library.Get(GemmProgram(shape), "lazyllm_gemm_small");
            _few = library.Get(GemmProgram(shape), "lazyllm_gemm_few");
            if (KernelVariant.TakesHopper(device.ComputeCapability))
            {
                _hopper = [.. HopperTiles.Select(tile => library.Get(HopperProgram(shape), $"lazyllm_gemm_sm90_{tile}"))];
                if (HasWholeHeads(shape))
                {
                    _turning = [.. TurningTiles.Select(tile => library.Get(TurningProgram(shape), $"lazyllm_gemm_rope_sm90_{tile}"))];
                }

                // Its input stands in shared memory beside the rings.
                int longest = Math.Max(shape.Hidden, Math.Max(shape.QueryWidth, shape.Intermediate));
                _single = longest <= MostSingleColumns ? library.Get(SingleProgram(shape), "lazyllm_gemv_sm90") : null;
            }
        }
    }

    /// <summary>The programs that a model needs on a GPU.</summary>
    public static IEnumerable<KernelProgram> Programs(DeviceShape shape, ComputeCapability capability) =>
        KernelVariant.TakesHopper(capability) && shape.Storage != TensorType.Float32
            ? [GemvProgram(shape), GemmProgram(shape), HopperProgram(shape), SingleProgram(shape), .. HasWholeHeads(shape) ? [TurningProgram(shape)] : Array.Empty<KernelProgram>()]
            : [GemvProgram(shape), GemmProgram(shape)];

    /// <summary>What the product of many rows is compiled from.</summary>
    public static KernelProgram GemmProgram(DeviceShape shape) => KernelVariant.ForStorage("gemm.cu", shape);

    /// <summary>What the product of few rows is compiled from.</summary>
    public static KernelProgram GemvProgram(DeviceShape shape) => KernelVariant.ForStorage("gemv.cu", shape);

    /// <summary>How a product of so many rows of one sequence is computed.</summary>
    public LinearKind KindOf(int rows) =>
        _hopper is null
            ? rows <= MostOwnStreamedRows ? LinearKind.Streamed : LinearKind.Portable
            : rows <= 1 ? LinearKind.Streamed : LinearKind.Hopper;

    /// <summary>Whether the product of so many rows can norm its input and turn Q and K by itself (<see cref="LaunchSingle"/>).</summary>
    public bool IsSingle(RowCount count) => count.Limit == 1 && _single is not null;

    /// <summary>Whether the product of so many rows of one sequence can turn Q and K by itself (<see cref="LaunchTurning"/>).</summary>
    public bool Turns(int rows) => _turning is not null && KindOf(rows) == LinearKind.Hopper;

    /// <summary>Enqueues the product of Q, K and V that turns them and brings K and V to the cache, on Hopper.</summary>
    public void LaunchTurning(CudaStream stream, GemmRopeSm90Args args)
    {
        int choice = ChooseTile(args.Linear, TurningTiles);
        HopperTile tile = TurningTiles[choice];
        args.TileRows = TileRows(args.Linear, tile);
        args.Input = InputMap(args.Linear, args.TileRows);
        args.Weights = WeightMap(args.Linear, tile);
        _turning![choice].Launch(stream, HopperConfig(args.Linear, tile), args);
    }

    /// <summary>Enqueues the product of one row with what is done before and behind it, on Hopper.</summary>
    public void LaunchSingle(CudaStream stream, in GemvSm90Args args)
    {
        const int ring = (2 * SingleStages * SingleColumns * 2) + (SingleStages * sizeof(ulong));
        var config = new LaunchConfig((uint)_multiprocessors, 32 * SingleWarps)
        {
            SharedBytes = (uint)((SingleWarps * ((ring + 127) / 128 * 128)) + (2 * args.Linear.K)),
            DependentLaunch = true,
        };
        _single!.Launch(stream, config, args);
    }

    /// <summary>Enqueues a product of the rows of one sequence.</summary>
    public void Launch(CudaStream stream, in LinearArgs args) => Launch(stream, args, KindOf(args.Count.Limit));

    /// <summary>Enqueues a product in one of the ways; a streamed one has up to <see cref="MaxStreamedRows"/> rows.</summary>
    public void Launch(CudaStream stream, in LinearArgs args, LinearKind kind)
    {
        if (kind == LinearKind.Streamed)
        {
            LaunchGemv(stream, args);
        }
        else if (kind == LinearKind.Hopper)
        {
            LaunchHopper(stream, args);
        }
        else if (_plain is not null)
        {
            _plain.Launch(stream, new LaunchConfig(Tiles(args.N, 64), Tiles(args.Count.Limit, 64), 1, 256), args);
        }
        else
        {
            LaunchGemm(stream, args);
        }
    }

    private static KernelProgram SingleProgram(DeviceShape shape) => KernelVariant.ForHeads("gemv_sm90.cu", shape);

    private static KernelProgram TurningProgram(DeviceShape shape) => KernelVariant.ForHeads("gemm_rope_sm90.cu", shape);

    /// <summary>Whether a tile of the product can hold whole heads, so that a thread has both numbers of a pair.</summary>
    private static bool HasWholeHeads(DeviceShape shape) => shape.Config.HeadSize is 64 or 128;

    private static KernelProgram HopperProgram(DeviceShape shape) => KernelVariant.ForStorage("gemm_sm90.cu", shape);

    private static uint Tiles(in LinearArgs args, HopperTile tile) => Tiles(args.Count.Limit, tile.Rows) * Tiles(args.N, tile.Columns);

    private static uint Tiles(int size, int tile) => (uint)((size + tile - 1) / tile);

    private void LaunchGemv(CudaStream stream, in LinearArgs args)
    {
        if (IsSingle(args.Count))
        {
            LaunchSingle(stream, new GemvSm90Args { Linear = args });
            return;
        }

        int rows = args.Count.Limit;
        int variant = rows <= StreamedRows[0] ? 0 : rows <= StreamedRows[1] ? 1 : 2;
        int pairsPerBlock = GemvWarps * (variant == 0 ? 1 : 2);
        uint blocks = rows == 0 ? 0 : Tiles((args.N + 1) / 2, pairsPerBlock);
        _gemv[variant].Launch(stream, new LaunchConfig(blocks, 32 * GemvWarps) { DependentLaunch = true }, args);
    }

    private void LaunchGemm(CudaStream stream, in LinearArgs args)
    {
        // The large tile reuses what it reads the most, but only where there are enough of them for the whole GPU.
        uint large = Tiles(args.Count.Limit, 128) * Tiles(args.N, 128);
        if (args.Count.Limit > 64 && large >= (uint)_multiprocessors)
        {
            _large!.Launch(stream, new LaunchConfig(large, GemmThreads) { SharedBytes = 3 * (128 + 128) * 128, DependentLaunch = true }, args);
        }
        else if (args.Count.Limit > MostFewRows)
        {
            uint small = Tiles(args.Count.Limit, 64) * Tiles(args.N, 32);
            _small!.Launch(stream, new LaunchConfig(small, GemmThreads) { SharedBytes = 6 * (64 + 32) * 128, DependentLaunch = true }, args);
        }
        else
        {
            _few!.Launch(stream, new LaunchConfig(Tiles(args.N, 32), FewThreads) { SharedBytes = 8 * (MostFewRows + 32) * 128, DependentLaunch = true }, args);
        }
    }

    private void LaunchHopper(CudaStream stream, in LinearArgs args)
    {
        int choice = ChooseTile(args, HopperTiles);
        HopperTile tile = HopperTiles[choice];
        int rows = TileRows(args, tile);
        _hopper![choice].Launch(stream, HopperConfig(args, tile), new GemmSm90Args { Input = InputMap(args, rows), Weights = WeightMap(args, tile), Linear = args, TileRows = rows });
    }

    /// <summary>The tile that takes the least time, as its place among <paramref name="tiles"/>.</summary>
    private int ChooseTile(in LinearArgs args, HopperTile[] tiles)
    {
        // All blocks take a tile each round: a larger one reads less for each output, a smaller one may leave fewer blocks idle in the
        // last round.
        int choice = 0;
        uint least = uint.MaxValue;
        for (int i = 0; i < tiles.Length; i++)
        {
            uint rounds = (Tiles(args, tiles[i]) + (uint)_multiprocessors - 1) / (uint)_multiprocessors;
            uint cost = rounds * tiles[i].Cost;
            if (cost < least)
            {
                (choice, least) = (i, cost);
            }
        }

        return choice;
    }

    private LaunchConfig HopperConfig(in LinearArgs args, HopperTile tile)
    {
        return new LaunchConfig(Math.Min(Tiles(args, tile), (uint)_multiprocessors), tile.Threads) { SharedBytes = tile.SharedBytes, DependentLaunch = true };
    }

    /// <summary>
    /// Rows of each tile: as many tiles as there must be, of about as many rows, a multiple of eight. What is not there need not be copied:
    /// the copy engine takes its time for every row, and twice for what it fills with zeros, so that it is given none of these.
    /// </summary>
    private static int TileRows(in LinearArgs args, HopperTile tile)
    {
        int tiles = (int)Tiles(args.Count.Limit, tile.Rows);
        return (int)Tiles(args.Count.Limit, 8 * tiles) * 8;
    }

    private CuTensorMap InputMap(in LinearArgs args, int tileRows) =>
        TensorMaps.Encode(_shape.Storage, args.Input, (int)Tiles(args.Count.Limit, tileRows) * tileRows, args.K, tileRows);

    private CuTensorMap WeightMap(in LinearArgs args, HopperTile tile) => TensorMaps.Encode(_shape.Storage, args.Weights, args.N, args.K, tile.Columns);

    /// <summary>What a block of gemm_sm90.cuh computes at a time.</summary>
    private readonly record struct HopperTile(int Rows, int Columns)
    {
        /// <summary>A warpgroup for every 64 rows, and the one that copies.</summary>
        public uint Threads => 128 + (2 * (uint)Rows);

        /// <summary>The stages of its ring, and two barriers for each.</summary>
        public uint SharedBytes
        {
            get
            {
                int stageBytes = (Rows + Columns) * TensorMaps.BoxColumns * sizeof(ushort);
                int stages = (Rows == 192 ? 225 : 208) * 1024 / stageBytes;
                return (uint)(stages * (stageBytes + (2 * sizeof(ulong))));
            }
        }

        /// <summary>
        /// About the clocks of a multiprocessor that a step of 64 along k takes, with the tile's share of what else it costs. The matrix units
        /// take 32 products of a row and a column in a clock. Shared memory takes 128 bytes: the step once as it is copied in, and for
        /// each warpgroup its 64 rows and all columns as they are read. With 256 columns both take as long, with fewer shared memory.
        /// One warpgroup alone leaves both idle between its steps.
        /// </summary>
        public uint Cost
        {
            get
            {
                int step = Math.Max(Rows * Columns / 32, Rows + Columns + (Rows / 64 * (64 + Columns)));
                return (uint)((Rows == 64 ? step * LoneWarpgroupCost / 100 : step) + (Rows * HopperTileCost / 32));
            }
        }

        /// <summary>As the kernels' names have it.</summary>
        public override string ToString() => $"{Rows}x{Columns}";
    }
}
