namespace LazyLlm.Native.Backends.Cpu;

/// <summary>RMSNorm of rows: Output = Input / sqrt(mean(Input²) + Epsilon) · Gains.</summary>
internal unsafe struct NormArguments
{
    /// <summary>Float32 rows.</summary>
    public float* Input;

    /// <summary>Floats from one input row to the next.</summary>
    public nint InputStride;

    /// <summary>Float32 rows.</summary>
    public float* Output;

    /// <summary>Floats from one output row to the next.</summary>
    public nint OutputStride;

    /// <summary>One per column.</summary>
    public float* Gains;

    /// <summary>Rows.</summary>
    public int Rows;

    /// <summary>Numbers of a row.</summary>
    public int Width;

    /// <summary>Added to the mean square.</summary>
    public double Epsilon;
}

/// <summary>RMSNorm on all threads; a task is a few rows.</summary>
internal unsafe struct RowNorm<TLanes, TVector>(NormArguments arguments) : IParallelJob
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Rows of a task.</summary>
    public const int TaskRows = 16;

    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        int end = Math.Min(arguments.Rows, (task + 1) * TaskRows);
        for (int row = task * TaskRows; row < end; row++)
        {
            RowArithmetic<TLanes, TVector>.Norm(
                arguments.Input + (row * arguments.InputStride), arguments.Gains, arguments.Epsilon, arguments.Output + (row * arguments.OutputStride), arguments.Width);
        }
    }
}
