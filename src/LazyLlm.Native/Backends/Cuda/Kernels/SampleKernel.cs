using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches sample.cu.</summary>
internal sealed class SampleKernel(KernelLibrary library)
{
    private const uint Threads = 1024;

    private readonly Kernel _argMax = library.Get(Program, "lazyllm_argmax");

    /// <summary>What it is compiled from.</summary>
    public static KernelProgram Program { get; } = new("sample.cu");

    /// <summary>token = the index of the highest of <paramref name="count"/> logits, the lowest one among equals.</summary>
    public void LaunchArgMax(CudaStream stream, ulong logits, ulong token, int count) =>
        _argMax.Launch(stream, new LaunchConfig(1, Threads), new ArgMaxArgs { Logits = logits, Token = token, Count = count });
}
