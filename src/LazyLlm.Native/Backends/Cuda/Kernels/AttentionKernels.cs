using System.Numerics;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>
/// Launches attention_dense.cu, attention_sm90.cu and attention_gathered.cu, and is the one place that chooses between them. The
/// choice, and how K/V is split, depend on the sequence's own counts alone, rounded up to powers of two: so a sequence gets the
/// same bits whether its stage is recorded or not, alone or in company.
/// </summary>
internal sealed class AttentionKernels
{
    /// <summary>The most rows that are split over K/V where there are matrix units for more.</summary>
    public const int MostSplitRows = 16;

    private const uint RowThreads = 128;
    private const uint CombineThreads = 512;
    private const uint TileThreads = 128;
    private const int TileRows = 64;
    private const int TokensPerSplit = 128;

    // MOST_SPLITS of attention_rows.cuh.
    private const int MostSplits = 64;

    // Fewer rows than this leave most of a tile of 128 empty; and they may be recorded, with counts that only the device knows.
    private const int LeastHopperRows = 65;

    private const uint HopperThreads = 384;
    private const int HopperTile = 128;
    private const int HopperTileCount = 5;
    private const int HopperBarriers = 10;

    // Of K and V of the heads that are worked on at a time: less than half of the level-2 cache was the fastest.
    private const long HeadGroupBytes = 16L << 20;

    private readonly DeviceShape _shape;
    private readonly Kernel _rows;
    private readonly Kernel _combine;
    private readonly int _multiprocessors;
    private readonly Kernel? _dense;
    private readonly Kernel? _hopper;
    private readonly Kernel? _gathered;

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
            _hopper = KernelVariant.TakesHopper(device.ComputeCapability) ? library.Get(HopperProgram(shape), "lazyllm_attend_sm90") : null;
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
            ? [DenseProgram(shape), GatheredProgram(shape), HopperProgram(shape)]
            : [DenseProgram(shape), GatheredProgram(shape)];
    }

    /// <summary>Query heads that a block of the row kernels takes together: all that share a K/V head, or up to eight of them.</summary>
    public static int HeadsPerBlock(DeviceShape shape)
    {
        int group = shape.Config.HeadCount / shape.Config.KeyValueHeadCount;
        return Enumerable.Range(1, Math.Min(group, 8)).Last(count => group % count == 0);
    }

    /// <summary>The variant of a source for a storage format, a head size and a group of heads.</summary>
    public static KernelProgram Variant(string source, DeviceShape shape) =>
        new(source, [.. KernelVariant.ForHeads(source, shape).Defines, $"LAZYLLM_HEADS_PER_BLOCK={HeadsPerBlock(shape)}"]);

    /// <summary>Parts that the keys of |T| positions are split into, where they are.</summary>
    public static int Splits(int tokenCount) => Math.Clamp(CudaWorkspace.TokenBucket(tokenCount) / TokensPerSplit, 1, MostSplits);

    /// <summary>Bytes of scratch memory that <see cref="Launch"/> needs for as many rows and positions.</summary>
    public long ScratchBytes(int rows, int tokenCount) =>
        IsSplit(rows) ? (long)rows * _shape.Config.HeadCount * Splits(tokenCount) * (_shape.Config.HeadSize + 2) * sizeof(float) : 0;

    /// <summary>Enqueues the attention of the rows; <c>Splits</c> and what follows of the shape is filled in here.</summary>
    public void Launch(CudaStream stream, AttentionArgs args)
    {
        switch (KindOf(args))
        {
            case AttentionKind.Hopper:
                LaunchHopper(stream, args);
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
        return _dense is null || IsSplit(rows) ? AttentionKind.Rows
            : _hopper is not null && args.Slots == 0 && args.Count.IsKnown && rows >= LeastHopperRows ? AttentionKind.Hopper
            : AttentionKind.Tiles;
    }

    private static KernelProgram DenseProgram(DeviceShape shape) => KernelVariant.ForHeads("attention_dense.cu", shape);

    private static KernelProgram GatheredProgram(DeviceShape shape) => Variant("attention_gathered.cu", shape);

    private static KernelProgram HopperProgram(DeviceShape shape) => KernelVariant.ForHeads("attention_sm90.cu", shape);

    private static bool IsSplit(int rows) => rows <= MostSplitRows;

    private void LaunchRows(CudaStream stream, AttentionArgs args)
    {
        int rows = args.Count.Limit;
        args.Splits = IsSplit(rows) ? Splits(args.TokenCount) : 1;
        uint groups = (uint)(_shape.Config.HeadCount / HeadsPerBlock(_shape));
        _rows.Launch(stream, new LaunchConfig((uint)args.Splits, groups, (uint)rows, RowThreads) { DependentLaunch = true }, args);
        if (args.Splits > 1)
        {
            _combine.Launch(stream, new LaunchConfig((uint)_shape.Config.HeadCount, (uint)rows, 1, CombineThreads) { DependentLaunch = true }, args);
        }
    }

    private void LaunchTiles(CudaStream stream, in AttentionArgs args)
    {
        uint tiles = (uint)((args.Count.Limit + TileRows - 1) / TileRows);
        int width = (_shape.Config.HeadSize + 15) / 16 * 16;
        Kernel kernel = args.Slots == 0 ? _dense! : _gathered!;
        kernel.Launch(stream, new LaunchConfig(tiles, (uint)_shape.Config.HeadCount, 1, TileThreads) { SharedBytes = (uint)(5 * TileRows * (width + 8) * 2) }, args);
    }

    private void LaunchHopper(CudaStream stream, in AttentionArgs args)
    {
        int rows = args.Count.Limit;
        int size = _shape.Config.HeadSize;
        int panels = (size + TensorMaps.BoxColumns - 1) / TensorMaps.BoxColumns;
        uint tiles = (uint)((rows + HopperTile - 1) / HopperTile) * (uint)args.Heads;
        // A power of two cuts the heads of most models into equal groups.
        long headBytes = 2L * args.TokenCount * size * _shape.ElementSize;
        long groupedHeads = (long)BitOperations.RoundUpToPowerOf2((ulong)(HeadGroupBytes / headBytes) + 1) / 2;
        var config = new LaunchConfig(Math.Min(tiles, (uint)_multiprocessors), HopperThreads)
        {
            SharedBytes = (uint)((HopperTileCount * HopperTile * panels * TensorMaps.BoxColumns * 2) + (HopperBarriers * sizeof(ulong))),
        };
        ulong values = args.Keys + ((ulong)args.ValueOffset * (ulong)_shape.ElementSize);
        _hopper!.Launch(stream, config, new AttentionSm90Args
        {
            Queries = TensorMaps.EncodeHeads(_shape.Storage, args.Queries, rows, args.Heads, size, args.RowStride, HopperTile),
            Keys = TensorMaps.EncodeHeads(_shape.Storage, args.Keys, args.TokenCount, args.KeyValueHeads, size, args.SlotStride, HopperTile),
            Values = TensorMaps.EncodeHeads(_shape.Storage, values, args.TokenCount, args.KeyValueHeads, size, args.SlotStride, HopperTile),
            Attention = args,
            HeadGroup = (int)Math.Min(args.Heads, Math.Max(1, groupedHeads) * (args.Heads / args.KeyValueHeads)),
        });
    }
}
