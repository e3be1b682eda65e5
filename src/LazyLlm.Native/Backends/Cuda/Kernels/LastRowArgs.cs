using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_keep_last_row</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LastRowArgs
{
    public ulong Residual;
    public ulong Queries;
    public ulong KeptResidual;
    public ulong KeptQueries;
    public RowCount Count;
    public int Width;
    public int QueryStride;
    public int QueryBytes;
    public int Reserved;
}
