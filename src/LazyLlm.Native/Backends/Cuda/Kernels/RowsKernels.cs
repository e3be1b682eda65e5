using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches rows.cu.</summary>
internal sealed class RowsKernels(KernelLibrary library, DeviceShape shape)
{
    private const int Threads = 256;

    private readonly Kernel _gather = library.Get(Program, "lazyllm_gather_rows");
    private readonly Kernel _scatter = library.Get(Program, "lazyllm_scatter_rows");
    private readonly Kernel _keepLast = library.Get(Program, "lazyllm_keep_last_row");

    /// <summary>What they are compiled from.</summary>
    public static KernelProgram Program { get; } = new("rows.cu");

    /// <summary>residual[i] = aux[positions[i]]. Waits for all before it, as <see cref="RmsNormKernel.LaunchGathering"/> does.</summary>
    public void Gather(CudaStream stream, ulong aux, ulong residual, ulong positions, RowCount count) =>
        Launch(_gather, stream, aux, residual, positions, count, dependent: false);

    /// <summary>aux[positions[i]] = residual[i].</summary>
    public void Scatter(CudaStream stream, ulong aux, ulong residual, ulong positions, RowCount count) =>
        Launch(_scatter, stream, aux, residual, positions, count, dependent: true);

    /// <summary>Moves the last row's residual and Q.</summary>
    public void KeepLast(CudaStream stream, in LastRowArgs args)
    {
        int pieces = (args.Width / 4) + (args.QueryBytes / 16);
        _keepLast.Launch(stream, new LaunchConfig((uint)((pieces + Threads - 1) / Threads), Threads) { DependentLaunch = true }, args);
    }

    private void Launch(Kernel kernel, CudaStream stream, ulong aux, ulong residual, ulong positions, RowCount count, bool dependent)
    {
        var args = new RowsArgs { Aux = aux, Residual = residual, Positions = positions, Count = count, Width = shape.Hidden };
        uint pieces = (uint)((shape.Hidden + (4 * Threads) - 1) / (4 * Threads));
        kernel.Launch(stream, new LaunchConfig((uint)count.Limit, pieces, 1, Threads) { DependentLaunch = dependent }, args);
    }
}
