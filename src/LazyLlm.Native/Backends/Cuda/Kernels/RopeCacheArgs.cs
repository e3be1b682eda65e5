using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>RopeCacheArgs</c> in rope_cache.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RopeCacheArgs
{
    public ulong QueryKeyValue;
    public RowCount Count;
    public TurnArgs Turn;
}
