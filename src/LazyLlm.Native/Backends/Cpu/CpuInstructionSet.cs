namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The instruction sets that the CPU kernels are compiled for.</summary>
internal enum CpuInstructionSet
{
    /// <summary>128-bit vectors, which .NET maps to whatever the machine has.</summary>
    Portable,

    /// <summary>256-bit vectors: AVX2 with FMA.</summary>
    Avx2,

    /// <summary>512-bit vectors: AVX-512 F, BW, DQ and VL.</summary>
    Avx512,
}
