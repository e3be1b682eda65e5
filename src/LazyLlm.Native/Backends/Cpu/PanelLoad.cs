using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Reads weights from their files straight into panels: a task reads the rows of one panel and lays them out. Needs no more
/// memory than a panel per thread beside the weights themselves.
/// </summary>
internal unsafe struct PanelLoad(CpuKernels kernels, PanelMatrix matrix, WeightTensor[] tensors, int firstPanel) : IParallelJob
{
    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        int panel = firstPanel + task;
        int width = matrix.PanelWidth;
        long rowBytes = matrix.Depth * CpuMatrix.ByteLengthOf(matrix.Type);

        // Rows of the panel, a row of zeros, and room to read a row whose format is not the panel's.
        byte* rows = (byte*)scratch.Reserve(((width + 1) * (rowBytes + sizeof(float)) / sizeof(float)) + matrix.Depth);
        byte* zeros = rows + (width * rowBytes);
        byte* foreign = (byte*)((float*)rows + ((width + 1) * rowBytes / sizeof(float)) + 1);
        new Span<byte>(zeros, (int)rowBytes).Clear();
        byte** pointers = stackalloc byte*[width];
        for (int i = 0; i < width; i++)
        {
            pointers[i] = zeros;
        }

        int filled = 0;
        while (filled < width)
        {
            (int tensor, int row, int count) = Locate(panel, filled);
            if (tensor >= 0)
            {
                Read(tensors[tensor], row, count, rows + (filled * rowBytes), foreign);
                for (int i = 0; i < count; i++)
                {
                    pointers[filled + i] = rows + ((filled + i) * rowBytes);
                }
            }

            filled += count;
        }

        kernels.PackPanel(matrix.Type, pointers, matrix.Depth, matrix.Panel(panel));
    }

    /// <summary>Where output <paramref name="column"/> of a panel comes from, and how many after it from the same run of rows; tensor -1 past the end.</summary>
    private readonly (int Tensor, int Row, int Count) Locate(int panel, int column)
    {
        int width = matrix.PanelWidth;
        if (matrix.Epilogue == ProductEpilogue.SwiGlu)
        {
            int half = width / 2;
            int tensor = column / half;
            int first = (panel * half) + (column % half);
            int left = Math.Min(half - (column % half), tensors[tensor].Rows - first);
            return left > 0 ? (tensor, first, left) : (-1, 0, half - (column % half));
        }

        int row = (panel * width) + column;
        for (int tensor = 0; tensor < tensors.Length; tensor++)
        {
            if (row < tensors[tensor].Rows)
            {
                return (tensor, row, Math.Min(width - column, tensors[tensor].Rows - row));
            }

            row -= tensors[tensor].Rows;
        }

        return (-1, 0, width - column);
    }

    private readonly void Read(WeightTensor tensor, int firstRow, int count, byte* destination, byte* foreign)
    {
        int rowBytes = tensor.Columns * tensor.ElementSize;
        if (tensor.Type == matrix.Type)
        {
            tensor.Read((long)firstRow * rowBytes, new Span<byte>(destination, count * rowBytes));
            return;
        }

        for (int row = 0; row < count; row++)
        {
            tensor.Read((long)(firstRow + row) * rowBytes, new Span<byte>(foreign, rowBytes));
            CpuMatrix.Widen(tensor.Type, foreign, (float*)destination + ((long)row * tensor.Columns), tensor.Columns);
        }
    }
}
