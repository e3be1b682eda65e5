using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>SelectArgs</c> in select.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SelectArgs
{
    public ulong Importance;
    public ulong Positions;
    public ulong NextPositions;
    public ulong NextSlots;
    public ulong ComputePositions;
    public ulong ComputeSlots;
    public ulong ComputePlaces;
    public ulong SlotOf;
    public ulong Keys;
    public ulong Shared;
    public ulong State;
    public double Mass;
    public int Count;
    public int KeepCount;
    public int Length;
    public int FirstNew;
    public int SlotCount;
    public int Pool;
    public int KeepFirst;
    public int KeepRecent;
    public int IsStatic;
    public int Tile;
}
