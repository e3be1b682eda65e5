using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches slots.cu.</summary>
internal sealed class SlotsKernel(KernelLibrary library)
{
    private const int Threads = 256;

    private readonly Kernel _forget = library.Get(Program, "lazyllm_forget_slots");

    /// <summary>What it is compiled from.</summary>
    public static KernelProgram Program { get; } = new("slots.cu");

    /// <summary>slotOf = -1 wherever it is <paramref name="slotCount"/> or more.</summary>
    public void LaunchForget(CudaStream stream, ulong slotOf, int positions, int slotCount) =>
        _forget.Launch(
            stream,
            new LaunchConfig((uint)((positions + Threads - 1) / Threads), Threads),
            new ForgetSlotsArgs { SlotOf = slotOf, Positions = positions, SlotCount = slotCount });
}
