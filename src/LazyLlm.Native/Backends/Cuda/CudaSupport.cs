using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>What the kernels support of what a configuration may say. Asked before anything is allocated.</summary>
internal static class CudaSupport
{
    /// <summary>The largest head size.</summary>
    public const int MaxHeadSize = 128;

    /// <summary>Refuses a model that the kernels cannot run.</summary>
    /// <exception cref="DeviceException">The message names the field, what was found and what is supported.</exception>
    public static void Check(ModelConfig config)
    {
        if (config.HeadSize % DeviceShape.Unit != 0 || config.HeadSize > MaxHeadSize)
        {
            throw Unsupported($"head size {config.HeadSize}", $"multiples of {DeviceShape.Unit} up to {MaxHeadSize}");
        }

        if (config.HeadCount % config.KeyValueHeadCount != 0)
        {
            throw Unsupported($"{config.HeadCount} query heads over {config.KeyValueHeadCount} K/V heads", "whole groups of query heads per K/V head");
        }
    }

    /// <summary>Refuses sequences that are longer than the kernels can choose tokens from.</summary>
    /// <exception cref="DeviceException">The message says what was asked for, and what is supported.</exception>
    public static void CheckContext(int contextLength)
    {
        if (contextLength > SelectKernels.MostTokens)
        {
            throw Unsupported($"a context of {contextLength:N0} tokens", $"up to {SelectKernels.MostTokens:N0}");
        }
    }

    private static DeviceException Unsupported(string found, string supported) =>
        new($"The CUDA kernels do not support {found}; they support {supported}. Run with the device cpu.");
}
