using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>Which kernel programs a model runs on, for tools that compile or show them. Needs no GPU.</summary>
public static class ModelKernels
{
    /// <summary>The programs of a model.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="storage">The format of weights, K/V and rows; null for the checkpoint's 16-bit format (bfloat16 for a float32 one).</param>
    /// <param name="capability">The GPU's architecture.</param>
    /// <exception cref="Errors.DeviceException">The kernels do not support the model; the message names the field.</exception>
    public static IReadOnlyList<KernelProgram> Programs(ModelConfig config, TensorType? storage, ComputeCapability capability)
    {
        ArgumentNullException.ThrowIfNull(config);
        CudaSupport.Check(config);
        return CudaOperations.Programs(new DeviceShape(config, storage ?? CudaOperations.StorageOf(config)), capability);
    }
}
