using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// A matrix product over panels, for one row as for thousands: a task is a block of rows times a run of panels. Many rows
/// reuse each panel from the nearest cache and run at the speed of the multiply-add units; few rows read the panels once,
/// at the speed of memory.
/// </summary>
internal unsafe struct PanelProduct<TLanes, TVector, TFormat> : IParallelJob
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TFormat : struct, IWeightFormat<TLanes, TVector>
{
    /// <summary>Bytes of input rows that a task goes over again and again: half of a usual second-level cache.</summary>
    private const int RowBlockBytes = 512 * 1024;

    /// <summary>Panels that are taken together where rows are few.</summary>
    private const int PanelGroup = 4;

    private ProductArguments _arguments;
    private int _rowsPerTask;
    private int _panelsPerTask;
    private int _rowBlocks;

    /// <summary>Computes the product on all threads of the pool.</summary>
    public static void Run(WorkerPool pool, in ProductArguments arguments)
    {
        PanelProduct<TLanes, TVector, TFormat> job = default;
        job._arguments = arguments;
        int rowsInCache = Math.Max(RowBlockBytes / (arguments.Depth * sizeof(float)), 4 * TLanes.TileRows);
        job._rowBlocks = (arguments.Rows + rowsInCache - 1) / rowsInCache;
        int rowsPerBlock = (arguments.Rows + job._rowBlocks - 1) / job._rowBlocks;
        job._rowsPerTask = (rowsPerBlock + TLanes.TileRows - 1) / TLanes.TileRows * TLanes.TileRows;
        job._rowBlocks = (arguments.Rows + job._rowsPerTask - 1) / job._rowsPerTask;

        // About four tasks per thread even out their speeds.
        int panelBlocks = Math.Max(1, pool.ThreadCount * 4 / job._rowBlocks);
        int panels = Math.Clamp(arguments.PanelCount / panelBlocks, PanelGroup, 8 * PanelGroup);
        job._panelsPerTask = panels / PanelGroup * PanelGroup;
        int tasks = (arguments.PanelCount + job._panelsPerTask - 1) / job._panelsPerTask * job._rowBlocks;
        pool.Run(in job, tasks, (long)arguments.Rows * arguments.Depth * arguments.PanelCount * 2 * TLanes.Count);
    }

    /// <inheritdoc/>
    [SkipLocalsInit]
    public readonly void Run(int task, FloatBuffer scratch)
    {
        int firstRow = task % _rowBlocks * _rowsPerTask;
        int lastRow = Math.Min(firstRow + _rowsPerTask, _arguments.Rows);
        int firstPanel = task / _rowBlocks * _panelsPerTask;
        int lastPanel = Math.Min(firstPanel + _panelsPerTask, _arguments.PanelCount);
        int tileRows = TLanes.TileRows;
        int wholeTiles = firstRow + ((lastRow - firstRow) / tileRows * tileRows);

        // Past these a whole tile, mostly of rows that do not count, costs no more than row by row.
        int left = lastRow - wholeTiles;
        bool byFours = false;
        if (left > (tileRows == 12 ? 8 : 4))
        {
            wholeTiles = lastRow;
        }
        else if (tileRows == 6)
        {
            // Two rows more than a tile: twice four cost less than six and then row by row.
            byFours = left > 2 || (left == 2 && wholeTiles > firstRow);
            wholeTiles -= left == 2 && byFours ? tileRows : 0;
        }

        float* tile = stackalloc float[12 * 32];
        for (int panel = firstPanel; panel < lastPanel; panel += PanelGroup)
        {
            int groupEnd = Math.Min(panel + PanelGroup, lastPanel);
            for (int p = panel; p < groupEnd; p++)
            {
                WholeTiles(firstRow, wholeTiles, p, tile);
                if (byFours)
                {
                    Fours(wholeTiles, lastRow, p, tile);
                }
            }

            if (!byFours && wholeTiles < lastRow)
            {
                FewRows(wholeTiles, lastRow, panel, groupEnd, tile);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void WholeTiles(int firstRow, int lastRow, int panel, float* tile)
    {
        byte* weights = _arguments.Panels + (panel * _arguments.PanelBytes);
        nint tileStride = 2 * TLanes.Count;
        int tileRows = TLanes.TileRows;
        for (int row = firstRow; row < lastRow; row += tileRows)
        {
            float* input = _arguments.Input + (row * _arguments.InputStride);
            if (tileRows == 12)
            {
                RegisterTile<TLanes, TVector, TFormat>.Twelve(input, _arguments.InputStride, weights, _arguments.Depth, tile, tileStride);
            }
            else
            {
                RegisterTile<TLanes, TVector, TFormat>.Six(input, _arguments.InputStride, weights, _arguments.Depth, tile, tileStride);
            }

            Finish(row, Math.Min(tileRows, lastRow - row), panel, 1, tile, tileStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Fours(int firstRow, int lastRow, int panel, float* tile)
    {
        byte* weights = _arguments.Panels + (panel * _arguments.PanelBytes);
        nint tileStride = 2 * TLanes.Count;
        for (int row = firstRow; row < lastRow; row += 4)
        {
            RegisterTile<TLanes, TVector, TFormat>.FourOfOne(_arguments.Input + (row * _arguments.InputStride), _arguments.InputStride, weights, _arguments.Depth, tile, tileStride);
            Finish(row, Math.Min(4, lastRow - row), panel, 1, tile, tileStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void FewRows(int firstRow, int lastRow, int firstPanel, int lastPanel, float* tile)
    {
        if (lastPanel - firstPanel < PanelGroup)
        {
            for (int panel = firstPanel; panel < lastPanel; panel++)
            {
                WholeTiles(firstRow, lastRow, panel, tile);
            }

            return;
        }

        byte* weights = _arguments.Panels + (firstPanel * _arguments.PanelBytes);
        nint panelBytes = _arguments.PanelBytes;
        int row = firstRow;
        while (row < lastRow)
        {
            float* input = _arguments.Input + (row * _arguments.InputStride);
            if (TLanes.TileRows == 12 && lastRow - row > 2)
            {
                nint stride = 4 * TLanes.Count;
                int rows = Math.Min(4, lastRow - row);
                RegisterTile<TLanes, TVector, TFormat>.Four(input, _arguments.InputStride, weights, panelBytes, _arguments.Depth, tile, stride);
                Finish(row, rows, firstPanel, 2, tile, stride);
                RegisterTile<TLanes, TVector, TFormat>.Four(
                    input, _arguments.InputStride, weights + (2 * panelBytes), panelBytes, _arguments.Depth, tile, stride);
                Finish(row, rows, firstPanel + 2, 2, tile, stride);
                row += rows;
            }
            else
            {
                RegisterTile<TLanes, TVector, TFormat>.One(input, 0, weights, panelBytes, _arguments.Depth, tile, 0);
                Finish(row, 1, firstPanel, PanelGroup, tile, 0);
                row++;
            }
        }
    }

    /// <summary>Takes a computed tile of some rows and neighbouring panels to its place in the output.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Finish(int firstRow, int rows, int firstPanel, int panels, float* tile, nint tileStride)
    {
        int lanes = TLanes.Count;
        int width = _arguments.Epilogue == ProductEpilogue.SwiGlu ? lanes : 2 * lanes;
        for (int p = 0; p < panels; p++)
        {
            int column = (firstPanel + p) * width;
            int columns = Math.Min(width, _arguments.Columns - column);
            float* output = _arguments.Output + (firstRow * _arguments.OutputStride) + column;
            float* values = tile + (p * 2 * lanes);
            for (int row = 0; row < rows; row++)
            {
                if (_arguments.Epilogue == ProductEpilogue.SwiGlu)
                {
                    TVector gate = TLanes.Load(values);
                    TVector sigmoid = TLanes.Add(TLanes.Broadcast(1), TLanes.Exp(TLanes.Multiply(gate, TLanes.Broadcast(-1))));
                    TLanes.Store(TLanes.Multiply(TLanes.Divide(gate, sigmoid), TLanes.Load(values + lanes)), values);
                }

                if (columns < width)
                {
                    FinishScalar(values, output, columns);
                }
                else
                {
                    for (int i = 0; i < width; i += lanes)
                    {
                        TVector value = TLanes.Load(values + i);
                        if (_arguments.Epilogue == ProductEpilogue.Add)
                        {
                            value = TLanes.Add(TLanes.Load(output + i), value);
                        }

                        TLanes.Store(value, output + i);
                    }
                }

                output += _arguments.OutputStride;
                values += tileStride;
            }
        }
    }

    private readonly void FinishScalar(float* values, float* output, int columns)
    {
        for (int i = 0; i < columns; i++)
        {
            output[i] = _arguments.Epilogue == ProductEpilogue.Add ? output[i] + values[i] : values[i];
        }
    }
}
