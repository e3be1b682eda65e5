using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// One or more weights that the same rows are multiplied by, in memory in their checkpoint's number format, laid out in
/// panels for <see cref="CpuKernels.Multiply"/>. Columns past the last output are zero.
/// </summary>
internal sealed unsafe class PanelMatrix : IDisposable
{
    private readonly FloatBuffer _memory = new();

    /// <summary>Takes memory for weights of <paramref name="outputs"/> rows altogether; the panels are to be filled.</summary>
    public PanelMatrix(CpuKernels kernels, TensorType type, int outputs, int depth, ProductEpilogue epilogue)
    {
        Type = type;
        Depth = depth;
        Epilogue = epilogue;
        PanelWidth = kernels.PanelWidth;
        Columns = epilogue == ProductEpilogue.SwiGlu ? outputs / 2 : outputs;
        int columnsPerPanel = epilogue == ProductEpilogue.SwiGlu ? PanelWidth / 2 : PanelWidth;
        PanelCount = (Columns + columnsPerPanel - 1) / columnsPerPanel;
        PanelBytes = (nint)(PanelWidth * CpuMatrix.ByteLengthOf(type) * depth);
        _memory.Reserve((long)PanelCount * PanelBytes / sizeof(float));
    }

    /// <summary>The number format.</summary>
    public TensorType Type { get; }

    /// <summary>Panels.</summary>
    public int PanelCount { get; }

    /// <summary>Outputs of a panel; half of them gate and half of them up under SwiGLU.</summary>
    public int PanelWidth { get; }

    /// <summary>Length of the sums.</summary>
    public int Depth { get; }

    /// <summary>Columns of the result.</summary>
    public int Columns { get; }

    /// <summary>What becomes of the product.</summary>
    public ProductEpilogue Epilogue { get; }

    /// <summary>Bytes of a panel.</summary>
    public nint PanelBytes { get; }

    /// <summary>Bytes of all panels.</summary>
    public long ByteLength => (long)PanelBytes * PanelCount;

    /// <summary>The numbers of a panel; valid until disposed.</summary>
    public byte* Panel(int index) => (byte*)_memory.Pointer + (index * PanelBytes);

    /// <summary>Output rows = epilogue(input rows x this). Rows are read in whole tiles: see <see cref="ProductArguments"/>.</summary>
    public void Multiply(CpuKernels kernels, WorkerPool pool, float* input, nint inputStride, int rows, float* output, nint outputStride)
    {
        ProductArguments arguments = new()
        {
            Input = input,
            InputStride = inputStride,
            Rows = rows,
            Panels = Panel(0),
            PanelBytes = PanelBytes,
            PanelCount = PanelCount,
            Depth = Depth,
            Columns = Columns,
            Output = output,
            OutputStride = outputStride,
            Epilogue = Epilogue,
        };
        kernels.Multiply(pool, Type, arguments);
    }

    /// <summary>Writes row <paramref name="row"/> of a single weight as float32.</summary>
    public void WidenRow(int row, float* destination)
    {
        long elementSize = CpuMatrix.ByteLengthOf(Type);
        byte* source = Panel(row / PanelWidth) + (row % PanelWidth * elementSize);
        for (int k = 0; k < Depth; k++)
        {
            CpuMatrix.Widen(Type, source + (k * PanelWidth * elementSize), destination + k, 1);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();
}
