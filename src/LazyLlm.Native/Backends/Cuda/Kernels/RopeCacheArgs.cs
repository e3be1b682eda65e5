using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>RopeCacheArgs</c> in rope_cache.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RopeCacheArgs
{
    public ulong QueryKeyValue;
    public ulong Keys;
    public ulong Cosines;
    public ulong Sines;
    public ulong Positions;
    public ulong Slots;
    public RowCount Count;
    public long SlotStride;
    public int Heads;
    public int KeyValueHeads;
}
