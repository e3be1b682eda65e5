using System.Numerics;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Interop.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>
/// Launches attention_dense.cu, attention_gathered.cu, attention_sm90.cu and attention_gathered_sm90.cu, and is the one place that chooses between them. The
/// choice, and how K/V is split, depend on the sequence's own counts alone, rounded up to powers of two: so a sequence gets the
/// same bits whether its stage is recorded or not, alone or in company.
/// </summary>
internal sealed class AttentionKernels
{
    private const uint RowThreads = 128;
    private const uint CombineThreads = 512;
    private const uint TileThreads = 128;
    private const int TileRows = 64;

    // Fewer rows leave most of the GPU idle unless K/V is split; and they may be recorded, with counts that only the device knows.
    private const int MostSplitRows = 64;

    // In float32 every row reads K/V for itself.
    private const int MostPlainSplitRows = 16;

    // A split writes a partial result for every row: the more rows, the longer the splits.
    private const int LeastTokensPerSplit = 128;
    private const int MostTokensPerSplit = 512;
    private const int TokensPerSplitAndRow = 8;

    // MOST_SPLITS of attention_rows.cuh.
    private const int MostSplits = 64;

    private const uint HopperThreads = 384;
    private const int HopperTile = 128;
    private const int HopperStages = 2;
    private const int HopperGatheredStages = 3;

    // Of K and V of the heads that are worked on at a time: less than half of the level-2 cache was the fastest.
    private const long HeadGroupBytes = 16L << 20;

    private readonly DeviceShape _shape;
    private readonly Kernel _rows;
    private readonly Kernel _combine;
    private readonly int _multiprocessors;
    private readonly Kernel? _dense;
    private readonly Kernel? _hopper;
    private readonly Kernel? _hopperGathered;
    private readonly Kernel? _hopperPaired;
    private readonly Kernel? _gathered;
    private readonly Kernel? _split;

    public AttentionKernels(KernelLibrary library, DeviceShape shape, CudaDevice device)
    {
        _shape = shape;
        _multiprocessors = device.MultiprocessorCount;
        _rows = library.Get(GatheredProgram(shape), "lazyllm_attend_rows");
        _combine = library.Get(GatheredProgram(shape), "lazyllm_attend_combine");
        if (shape.Storage != TensorType.Float32)
        {
            _dense = library.Get(DenseProgram(shape), "lazyllm_attend_dense");
            _gathered = library.Get(GatheredProgram(shape), "lazyllm_attend_gathered");
            _split = library.Get(GatheredProgram(shape), "lazyllm_attend_split");
            if (KernelVariant.TakesHopper(device.ComputeCapability))
            {
                _hopper = library.Get(HopperProgram(shape), "lazyllm_attend_sm90");
                _hopperGathered = library.Get(HopperGatheredProgram(shape), "lazyllm_attend_gathered_sm90");
                _hopperPaired = library.Get(HopperGatheredProgram(shape), "lazyllm_attend_paired_sm90");
            }
        }
    }

    /// <summary>The programs that a model needs on a GPU.</summary>
    public static IEnumerable<KernelProgram> Programs(DeviceShape shape, ComputeCapability capability)
    {
        if (shape.Storage == TensorType.Float32)
        {
            return [GatheredProgram(shape)];
        }

        return KernelVariant.TakesHopper(capability)
            ? [DenseProgram(shape), GatheredProgram(shape), HopperProgram(shape), HopperGatheredProgram(shape)]
            : [DenseProgram(shape), GatheredProgram(shape)];
    }

    /// <summary>Query heads that a block of the row kernels takes together: all that share a K/V head, or up to eight of them.</summary>
    public static int HeadsPerBlock(DeviceShape shape)
    {
        int group = shape.Config.HeadCount / shape.Config.KeyValueHeadCount;
        return Enumerable.Range(1, Math.Min(group, 8)).Last(count => group % count == 0);
    }

    /// <summary>Threads of the row kernels that have eight numbers each of a head: LANES of attention_rows.cuh.</summary>
    public static int LanesPerHead(DeviceShape shape) => (int)BitOperations.RoundUpToPowerOf2((uint)((shape.Config.HeadSize + 7) / 8));

    /// <summary>The variant of a source for a storage format, a head size and a group of heads.</summary>
    public static KernelProgram Variant(string source, DeviceShape shape) =>
        new(source, [.. KernelVariant.ForHeads(source, shape).Defines, $"LAZYLLM_HEADS_PER_BLOCK={HeadsPerBlock(shape)}"]);

    /// <summary>Bytes of scratch memory that <see cref="Launch"/> needs for as many rows and positions.</summary>
    public long ScratchBytes(int rows, int tokenCount) =>
        (long)rows * _shape.Config.HeadCount * SplitsFor(rows, tokenCount) * (_shape.Config.HeadSize + 2) * sizeof(float);

    /// <summary>Enqueues the attention of the rows; <c>Splits</c> is filled in here.</summary>
    public void Launch(CudaStream stream, AttentionArgs args)
    {
        args.Splits = SplitsFor(args.Count.Limit, args.TokenCount);
        switch (KindOf(args))
        {
            case AttentionKind.SplitTiles:
                LaunchSplitTiles(stream, args);
                break;
            case AttentionKind.Hopper:
                LaunchHopper(stream, args);
                break;
            case AttentionKind.HopperGathered:
                LaunchHopperGathered(stream, args, isPaired: false);
                break;
            case AttentionKind.HopperPaired:
                LaunchHopperGathered(stream, args, isPaired: true);
                break;
            case AttentionKind.Tiles:
                LaunchTiles(stream, args);
                break;
            default:
                LaunchRows(stream, args);
                break;
        }
    }

    /// <summary>How the attention of the rows is computed.</summary>
    public AttentionKind KindOf(in AttentionArgs args)
    {
        int rows = args.Count.Limit;
        return _dense is null || rows <= 1 ? AttentionKind.Rows
            : rows <= MostSplitRows ? AttentionKind.SplitTiles
            : _hopper is null || !args.Count.IsKnown ? AttentionKind.Tiles
            : args.Slots == 0 ? AttentionKind.Hopper
            : args.TokenCount > HopperTile && 2 * HopperTiles(args) <= (uint)_multiprocessors ? AttentionKind.HopperPaired
            : AttentionKind.HopperGathered;
    }

    // Of Q, and two each of K and V; rows are padded.
    private uint TileBytes => (uint)(5 * TileRows * (((_shape.Config.HeadSize + 15) / 16 * 16) + 8) * 2);

    // Of 64 columns, that a head is filled up to.
    private int Panels => (_shape.Config.HeadSize + TensorMaps.BoxColumns - 1) / TensorMaps.BoxColumns;

    private static int Splits(int tokenCount, int tokensPerSplit) => Math.Clamp(CudaWorkspace.TokenBucket(tokenCount) / tokensPerSplit, 1, MostSplits);

    private static uint Tiles(int rows) => (uint)((rows + TileRows - 1) / TileRows);

    private static KernelProgram DenseProgram(DeviceShape shape) => KernelVariant.ForHeads("attention_dense.cu", shape);

    private static KernelProgram GatheredProgram(DeviceShape shape) => Variant("attention_gathered.cu", shape);

    private static KernelProgram HopperProgram(DeviceShape shape) => KernelVariant.ForHeads("attention_sm90.cu", shape);

    private static KernelProgram HopperGatheredProgram(DeviceShape shape) => KernelVariant.ForHeads("attention_gathered_sm90.cu", shape);

    private int SplitsFor(int rows, int tokenCount)
    {
        if (_split is null)
        {
            return rows <= MostPlainSplitRows ? Splits(tokenCount, LeastTokensPerSplit) : 1;
        }

        int tokensPerSplit = Math.Clamp(TokensPerSplitAndRow * CudaWorkspace.TokenBucket(rows), LeastTokensPerSplit, MostTokensPerSplit);
        return rows <= MostSplitRows ? Splits(tokenCount, tokensPerSplit) : 1;
    }

    private void LaunchRows(CudaStream stream, in AttentionArgs args)
    {
        int rows = args.Count.Limit;
        if (rows > LaunchConfig.MaxGridYZ)
        {
            // Counts of so many rows are known.
            const int most = (int)LaunchConfig.MaxGridYZ;
            LaunchRows(stream, args with
            {
                Count = RowCount.Of(most),
                TokenCount = args.Places == 0 ? args.TokenCount - rows + most : args.TokenCount,
                NormalizedRows = args.NormalizedRows - (rows - most),
                Normalizers = args.Normalizers + ((ulong)(rows - most) * (ulong)args.Heads * sizeof(float)),
            });
            LaunchRows(stream, args with
            {
                Queries = args.Queries + (most * (ulong)args.RowStride * (ulong)_shape.ElementSize),
                Output = args.Output + (most * (ulong)_shape.QueryWidth * (ulong)_shape.ElementSize),
                Places = args.Places == 0 ? 0 : args.Places + (most * sizeof(int)),
                Count = RowCount.Of(rows - most),
            });
            return;
        }

        uint groups = (uint)(_shape.Config.HeadCount / HeadsPerBlock(_shape));
        _rows.Launch(stream, new LaunchConfig((uint)args.Splits, groups, (uint)rows, RowThreads) { DependentLaunch = true }, args);
        if (args.Splits > 1 || _dense is not null)
        {
            LaunchCombine(stream, args);
        }
    }

    private void LaunchSplitTiles(CudaStream stream, in AttentionArgs args)
    {
        int keyValueHeads = _shape.Config.KeyValueHeadCount;
        uint tiles = Tiles(args.Count.Limit * (_shape.Config.HeadCount / keyValueHeads));
        var config = new LaunchConfig(tiles, (uint)keyValueHeads, (uint)args.Splits, TileThreads) { SharedBytes = TileBytes, DependentLaunch = true };
        _split!.Launch(stream, config, args);
        LaunchCombine(stream, args);
    }

    private void LaunchCombine(CudaStream stream, in AttentionArgs args) =>
        _combine.Launch(stream, new LaunchConfig((uint)_shape.Config.HeadCount, (uint)args.Count.Limit, 1, CombineThreads) { DependentLaunch = true }, args);

    private void LaunchTiles(CudaStream stream, in AttentionArgs args)
    {
        Kernel kernel = args.Slots == 0 ? _dense! : _gathered!;
        kernel.Launch(stream, new LaunchConfig(Tiles(args.Count.Limit), (uint)_shape.Config.HeadCount, 1, TileThreads) { SharedBytes = TileBytes }, args);
    }

    /// <summary>Tiles of rows of all heads.</summary>
    private static uint HopperTiles(in AttentionArgs args) => (uint)((args.Count.Limit + HopperTile - 1) / HopperTile) * (uint)args.Heads;

    private void LaunchHopper(CudaStream stream, in AttentionArgs args)
    {
        ulong values = args.Keys + ((ulong)args.ValueOffset * (ulong)_shape.ElementSize);
        AttentionSm90Args hopper = HopperArgs(args);
        hopper.Keys = HeadMap(args.Keys, args.TokenCount, args.KeyValueHeads, args.SlotStride);
        hopper.Values = HeadMap(values, args.TokenCount, args.KeyValueHeads, args.SlotStride);
        _hopper!.Launch(stream, HopperConfig(Math.Min(HopperTiles(args), (uint)_multiprocessors), HopperStages), hopper);
    }

    private void LaunchHopperGathered(CudaStream stream, in AttentionArgs args, bool isPaired)
    {
        uint tiles = HopperTiles(args);
        LaunchConfig config = HopperConfig(isPaired ? 2 * tiles : Math.Min(tiles, (uint)_multiprocessors), HopperGatheredStages);
        (isPaired ? _hopperPaired! : _hopperGathered!).Launch(stream, config with { ClusterX = isPaired ? 2u : 1u }, HopperArgs(args));
    }

    private LaunchConfig HopperConfig(uint blocks, int stages)
    {
        // Tiles of Q, and of K and V in rings; two barriers for each.
        int tiles = 1 + (2 * stages);
        return new LaunchConfig(blocks, HopperThreads)
        {
            SharedBytes = (uint)(tiles * ((HopperTile * Panels * TensorMaps.BoxColumns * 2) + (2 * sizeof(ulong)))),
            DependentLaunch = true,
        };
    }

    private AttentionSm90Args HopperArgs(in AttentionArgs args)
    {
        // A power of two cuts the heads of most models into equal groups.
        long headBytes = 2L * args.TokenCount * _shape.Config.HeadSize * _shape.ElementSize;
        long groupedHeads = (long)BitOperations.RoundUpToPowerOf2((ulong)(HeadGroupBytes / headBytes) + 1) / 2;
        return new AttentionSm90Args
        {
            Queries = HeadMap(args.Queries, args.Count.Limit, args.Heads, args.RowStride),
            Attention = args,
            HeadGroup = (int)Math.Min(args.Heads, Math.Max(1, groupedHeads) * (args.Heads / args.KeyValueHeads)),
        };
    }

    private CuTensorMap HeadMap(ulong address, int rows, int heads, long stride) =>
        TensorMaps.EncodeHeads(_shape.Storage, address, rows, heads, _shape.Config.HeadSize, stride, HopperTile);
}
