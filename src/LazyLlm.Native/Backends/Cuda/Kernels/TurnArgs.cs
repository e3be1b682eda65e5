using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>TurnArgs</c> in rope.cuh: where Q, K and V of C's rows go, and what Q and K are turned by.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TurnArgs
{
    /// <summary>K of the layer; 0 where a product turns nothing.</summary>
    public ulong Keys;
    public ulong Cosines;
    public ulong Sines;
    public ulong Positions;
    public ulong Slots;
    public long SlotStride;
    public int Heads;
    public int KeyValueHeads;
}
