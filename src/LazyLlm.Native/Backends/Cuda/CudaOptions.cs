using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>What a caller may choose about a model on a GPU.</summary>
internal sealed record CudaOptions
{
    /// <summary>The GPU's number among the visible ones, from 0.</summary>
    public int Ordinal { get; init; }

    /// <summary>The format of weights, K/V and rows; null for the checkpoint's 16-bit format (bfloat16 for a float32 one).</summary>
    public TensorType? Storage { get; init; }

    /// <summary>The longest sequence, in tokens: memory is planned for one such.</summary>
    public required int ContextLength { get; init; }

    /// <summary>File or folder of the driver; null for the usual places.</summary>
    public string? DriverPath { get; init; }

    /// <summary>File or folder of NVRTC; null for the usual places.</summary>
    public string? NvrtcPath { get; init; }

    /// <summary>A compiler for the device's architecture that is open already; null to open one.</summary>
    public KernelCompiler? Compiler { get; init; }
}
