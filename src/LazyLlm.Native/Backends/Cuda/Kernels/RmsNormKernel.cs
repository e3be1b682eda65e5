using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches rmsnorm.cu.</summary>
internal sealed class RmsNormKernel(KernelLibrary library, DeviceShape shape)
{
    private const uint Threads = 512;

    private readonly Kernel _norm = library.Get(Program(shape), "lazyllm_rmsnorm");

    /// <summary>What it is compiled from.</summary>
    public static KernelProgram Program(DeviceShape shape) => KernelVariant.ForStorage("rmsnorm.cu", shape);

    /// <summary>normed[i] = norm of residual[i].</summary>
    public void Launch(CudaStream stream, ulong residual, ulong gains, ulong normed, RowCount count) =>
        Launch(stream, (uint)count.Limit, Args(residual, gains, normed, count));

    /// <summary>
    /// normed[i] = norm of residual[i] = aux[positions[i]]. Waits for all before it: what chose the positions, and the slots that
    /// kernels of the layers read early, has ended.
    /// </summary>
    public void LaunchGathering(CudaStream stream, ulong aux, ulong positions, ulong residual, ulong gains, ulong normed, RowCount count) =>
        Launch(stream, (uint)count.Limit, Args(residual, gains, normed, count) with { Aux = aux, Positions = positions }, dependent: false);

    /// <summary>normed[0] = norm of the last row of residual.</summary>
    public void LaunchLast(CudaStream stream, ulong residual, ulong gains, ulong normed, RowCount count) =>
        Launch(stream, 1, Args(residual, gains, normed, count) with { LastOnly = 1 });

    private void Launch(CudaStream stream, uint blocks, in RmsNormArgs args, bool dependent = true) =>
        _norm.Launch(stream, new LaunchConfig(blocks, Threads) { DependentLaunch = dependent }, args);

    private RmsNormArgs Args(ulong residual, ulong gains, ulong normed, RowCount count) => new()
    {
        Residual = residual,
        Gains = gains,
        Normed = normed,
        Count = count,
        Width = shape.Hidden,
        HiddenSize = shape.Config.HiddenSize,
        Epsilon = (float)shape.Config.NormEpsilon,
    };
}
