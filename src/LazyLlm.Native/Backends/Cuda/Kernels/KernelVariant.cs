using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The macros that fit a kernel source to a model.</summary>
internal static class KernelVariant
{
    /// <summary>A source that depends on the storage format alone.</summary>
    public static KernelProgram ForStorage(string source, DeviceShape shape) => new(source, StorageMacro(shape.Storage));

    /// <summary>A source that depends on the storage format and the head size.</summary>
    public static KernelProgram ForHeads(string source, DeviceShape shape) =>
        new(source, StorageMacro(shape.Storage), $"LAZYLLM_HEAD_SIZE={shape.Config.HeadSize}");

    /// <summary>
    /// Whether kernels of Hopper's own instructions are taken. <c>LAZYLLM_PORTABLE_KERNELS=1</c> leaves them, to compare, and for
    /// tools that cannot follow them.
    /// </summary>
    public static bool TakesHopper(ComputeCapability capability) =>
        capability.IsHopper && Environment.GetEnvironmentVariable("LAZYLLM_PORTABLE_KERNELS") != "1";

    private static string StorageMacro(TensorType storage) => storage switch
    {
        TensorType.Float32 => "LAZYLLM_STORAGE_F32",
        TensorType.Float16 => "LAZYLLM_STORAGE_F16",
        _ => "LAZYLLM_STORAGE_BF16",
    };
}
