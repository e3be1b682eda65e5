namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>A program's machine code for one architecture.</summary>
/// <param name="Name">The program (<see cref="KernelProgram.Name"/>).</param>
/// <param name="Target">The architecture, e.g. <c>sm_90</c>.</param>
/// <param name="Image">The CUBIN.</param>
/// <param name="Log">The compiler's log.</param>
public sealed record CompiledKernel(string Name, string Target, ReadOnlyMemory<byte> Image, string Log)
{
    /// <summary>Whether it came from the cache on disk.</summary>
    public bool FromCache { get; init; }

    /// <summary>What its kernels use, as the assembler said.</summary>
    public IReadOnlyList<KernelUsage> Usage => KernelUsage.Parse(Log);
}
