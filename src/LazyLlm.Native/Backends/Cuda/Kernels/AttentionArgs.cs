using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>AttentionArgs</c> in attention.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AttentionArgs
{
    public ulong Queries;
    public ulong Keys;
    public ulong Slots;
    public ulong Places;
    public ulong Output;
    public ulong Partials;
    public RowCount Count;
    public long SlotStride;
    public int RowStride;
    public int ValueOffset;
    public int Heads;
    public int KeyValueHeads;
    public int TokenCount;
    public int Splits;
    public float Scale;
    public int NormalizedRows;
    public ulong Normalizers;
}
