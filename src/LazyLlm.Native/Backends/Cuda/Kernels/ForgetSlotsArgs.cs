using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_forget_slots</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ForgetSlotsArgs
{
    public ulong SlotOf;
    public int Positions;
    public int SlotCount;
}
