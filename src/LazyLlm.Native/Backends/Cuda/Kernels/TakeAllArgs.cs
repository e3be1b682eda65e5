using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>TakeAllArgs</c> in select.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TakeAllArgs
{
    public ulong Positions;
    public ulong Slots;
    public ulong ComputePositions;
    public ulong ComputeSlots;
    public ulong ComputePlaces;
    public ulong SlotOf;
    public ulong State;
    public int FirstNew;
    public int Length;
}
