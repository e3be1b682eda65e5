using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Attention of many rows: both products run on register tiles over blocks of keys, with the softmax carried along from
/// block to block, so that no row of scores is ever whole. K and V are gathered by slot while they are packed, which makes
/// dense and gathered attention the same work and the same numbers. A task is a block of rows under one K/V head; the query
/// heads that share it stand in the tile side by side.
/// </summary>
internal unsafe struct BlockedAttention<TLanes, TVector> : IParallelJob
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Keys of a block. Blocks begin at multiples of it, so a row's sums do not depend on its neighbours.</summary>
    private const int BlockKeys = 256;

    /// <summary>Tile rows (rows x heads of a group) of a task: enough to pay for packing K and V.</summary>
    private const int TaskTileRows = 192;

    private AttentionArguments _arguments;
    private int _rowsPerTask;
    private int _rowBlocks;

    /// <summary>Attends on all threads of the pool.</summary>
    public static void Run(WorkerPool pool, in AttentionArguments arguments)
    {
        BlockedAttention<TLanes, TVector> job = default;
        job._arguments = arguments;
        int blocksWanted = Math.Max(1, 2 * pool.ThreadCount / arguments.KeyValueHeadCount);
        int most = Math.Max(1, TaskTileRows / arguments.Group);
        job._rowsPerTask = Math.Clamp((arguments.Rows + blocksWanted - 1) / blocksWanted, 1, most);
        job._rowBlocks = (arguments.Rows + job._rowsPerTask - 1) / job._rowsPerTask;
        pool.Run(in job, job._rowBlocks * arguments.KeyValueHeadCount, arguments.Work);
    }

    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        // The last rows see most keys: they go first.
        int firstRow = (_rowBlocks - 1 - (task / _arguments.KeyValueHeadCount)) * _rowsPerTask;
        int rows = Math.Min(_rowsPerTask, _arguments.Rows - firstRow);
        int head = task % _arguments.KeyValueHeadCount;
        int tileRows = rows * _arguments.Group;
        var block = new Block(_arguments.HeadSize, tileRows, scratch);
        Begin(block, firstRow, tileRows, head);
        int lastLimit = _arguments.Limits[firstRow + rows - 1];
        for (int firstKey = 0; firstKey < lastLimit; firstKey += BlockKeys)
        {
            int keys = Math.Min(BlockKeys, lastLimit - firstKey);
            PackKeys(block, firstKey, keys, head);
            PackValues(block, firstKey, keys, head);
            for (int row = 0; row < tileRows; row += TLanes.TileRows)
            {
                AttendTile(block, firstRow, row, Math.Min(TLanes.TileRows, tileRows - row), firstKey);
            }
        }

        for (int row = 0; row < tileRows; row++)
        {
            float* output = _arguments.Output + ((firstRow + (row / _arguments.Group)) * _arguments.OutputStride) + HeadOffset(head, row);
            RowArithmetic<TLanes, TVector>.Scale(block.Outputs + (row * block.OutputStride), 1 / block.Sums[row], output, _arguments.HeadSize);
        }
    }

    private readonly int HeadOffset(int head, int tileRow) => ((head * _arguments.Group) + (tileRow % _arguments.Group)) * _arguments.HeadSize;

    private readonly int LimitOf(int firstRow, int tileRow) => _arguments.Limits[firstRow + (tileRow / _arguments.Group)];

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Begin(in Block block, int firstRow, int tileRows, int head)
    {
        for (int row = 0; row < tileRows; row++)
        {
            float* query = _arguments.Query + ((firstRow + (row / _arguments.Group)) * _arguments.QueryStride) + HeadOffset(head, row);
            RowArithmetic<TLanes, TVector>.Scale(query, _arguments.Scale, block.Queries + (row * block.QueryStride), _arguments.HeadSize);
            block.Maxima[row] = float.NegativeInfinity;
            block.Sums[row] = 0;
        }

        new Span<float>(block.Outputs, tileRows * (int)block.OutputStride).Clear();
    }

    /// <summary>K of a block's keys as panels: <c>[panel][element][key]</c>. Columns past the last key repeat it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void PackKeys(in Block block, int firstKey, int keys, int head)
    {
        int width = PanelPacking<TLanes, TVector>.Width;
        float** rows = stackalloc float*[32];
        for (int key = 0; key < keys; key += width)
        {
            for (int i = 0; i < width; i++)
            {
                int slot = _arguments.Slots[firstKey + Math.Min(key + i, keys - 1)];
                rows[i] = _arguments.Keys + (slot * _arguments.CacheStride) + (head * _arguments.HeadSize);
            }

            PanelPacking<TLanes, TVector>.Pack(rows, _arguments.HeadSize, block.Keys + (key * _arguments.HeadSize));
        }
    }

    /// <summary>V of a block's keys as panels: <c>[panel][key][element]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void PackValues(in Block block, int firstKey, int keys, int head)
    {
        int width = PanelPacking<TLanes, TVector>.Width;
        for (int key = 0; key < keys; key++)
        {
            float* value = _arguments.Values + (_arguments.Slots[firstKey + key] * _arguments.CacheStride) + (head * _arguments.HeadSize);
            int element = 0;
            for (; element + width <= _arguments.HeadSize; element += width)
            {
                float* panel = block.Values + (element * BlockKeys) + (key * width);
                TLanes.Store(TLanes.Load(value + element), panel);
                TLanes.Store(TLanes.Load(value + element + TLanes.Count), panel + TLanes.Count);
            }

            for (int i = element; i < _arguments.HeadSize; i++)
            {
                block.Values[(element * BlockKeys) + (key * width) + (i - element)] = value[i];
            }
        }
    }

    /// <summary>One tile of rows against one block of keys.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void AttendTile(in Block block, int firstRow, int tileRow, int count, int firstKey)
    {
        int width = PanelPacking<TLanes, TVector>.Width;
        int keys = Math.Min(BlockKeys, LimitOf(firstRow, tileRow + count - 1) - firstKey);
        if (keys <= 0)
        {
            return;
        }

        float* queries = block.Queries + (tileRow * block.QueryStride);
        for (int key = 0; key < keys; key += width)
        {
            Tile(queries, block.QueryStride, block.Keys + (key * _arguments.HeadSize), _arguments.HeadSize, block.Scores + key, Block.ScoreStride);
        }

        for (int row = 0; row < count; row++)
        {
            float* scores = block.Scores + (row * Block.ScoreStride);
            int seen = Math.Clamp(LimitOf(firstRow, tileRow + row) - firstKey, 0, keys);
            new Span<float>(scores + seen, keys - seen).Clear();
            float before = block.Maxima[tileRow + row];
            float maximum = seen == 0 ? before : MathF.Max(before, RowArithmetic<TLanes, TVector>.Largest(scores, seen));
            float rescale = before == maximum ? 1 : MathF.Exp(before - maximum);
            block.Rescales[row] = rescale;
            block.Maxima[tileRow + row] = maximum;
            block.Sums[tileRow + row] = (block.Sums[tileRow + row] * rescale) + RowArithmetic<TLanes, TVector>.ExpSum(scores, seen, maximum);
        }

        for (int element = 0; element < _arguments.HeadSize; element += width)
        {
            Tile(block.Scores, Block.ScoreStride, block.Values + (element * BlockKeys), keys, block.Product, width);
            for (int row = 0; row < count; row++)
            {
                float* output = block.Outputs + ((tileRow + row) * block.OutputStride) + element;
                RowArithmetic<TLanes, TVector>.MultiplyAdd(output, block.Rescales[row], block.Product + (row * width), output, width);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile(float* a, nint aStride, float* panel, int depth, float* tile, nint tileStride)
    {
        if (TLanes.TileRows == 12)
        {
            RegisterTile<TLanes, TVector, Float32Format<TLanes, TVector>>.Twelve(a, aStride, (byte*)panel, depth, tile, tileStride);
        }
        else
        {
            RegisterTile<TLanes, TVector, Float32Format<TLanes, TVector>>.Six(a, aStride, (byte*)panel, depth, tile, tileStride);
        }
    }

    /// <summary>Where a task's working memory lies in its thread's scratch.</summary>
    private readonly struct Block
    {
        /// <summary>Scores of a tile row; an odd number of cache lines, so that rows lie in different sets of the cache.</summary>
        public const int ScoreStride = BlockKeys + 16;

        public readonly float* Queries;
        public readonly float* Keys;
        public readonly float* Values;
        public readonly float* Scores;
        public readonly float* Outputs;
        public readonly float* Product;
        public readonly float* Maxima;
        public readonly float* Sums;
        public readonly float* Rescales;
        public readonly nint QueryStride;
        public readonly nint OutputStride;

        public Block(int headSize, int tileRows, FloatBuffer scratch)
        {
            int width = PanelPacking<TLanes, TVector>.Width;
            int rows = tileRows + 12;
            QueryStride = RowLayout.Stride(headSize);
            OutputStride = (headSize + width - 1) / width * width;
            nint queries = rows * QueryStride;
            nint keys = BlockKeys * headSize;
            nint values = BlockKeys * OutputStride;
            nint scores = 12 * ScoreStride;
            nint outputs = rows * OutputStride;
            nint perRow = (rows + 15) / 16 * 16;
            Queries = scratch.Reserve(queries + keys + values + scores + outputs + (12 * 32) + (2 * perRow) + 16 + 64);
            Keys = Queries + queries;
            Values = Keys + ((keys + 15) / 16 * 16);
            Scores = Values + values;
            Outputs = Scores + scores;
            Product = Outputs + outputs;
            Maxima = Product + (12 * 32);
            Sums = Maxima + perRow;
            Rescales = Sums + perRow;
        }
    }
}
