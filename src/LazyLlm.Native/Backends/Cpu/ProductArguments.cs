namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Output[rows, columns] = epilogue(Input[rows, depth] x panels).</summary>
/// <remarks>Whole tiles of rows are read: up to 11 readable rows must follow the last one of <see cref="Input"/>; what they hold does not matter.</remarks>
internal unsafe struct ProductArguments
{
    /// <summary>Float32 rows.</summary>
    public float* Input;

    /// <summary>Floats from one input row to the next.</summary>
    public nint InputStride;

    /// <summary>Rows to compute.</summary>
    public int Rows;

    /// <summary>The weights, panel after panel.</summary>
    public byte* Panels;

    /// <summary>Bytes of a panel.</summary>
    public nint PanelBytes;

    /// <summary>Panels.</summary>
    public int PanelCount;

    /// <summary>Length of the sums: columns of the input and of the weight.</summary>
    public int Depth;

    /// <summary>Columns of the output.</summary>
    public int Columns;

    /// <summary>Float32 rows.</summary>
    public float* Output;

    /// <summary>Floats from one output row to the next.</summary>
    public nint OutputStride;

    /// <summary>What becomes of the product.</summary>
    public ProductEpilogue Epilogue;
}
