using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_gather_rows</c> and <c>lazyllm_scatter_rows</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RowsArgs
{
    public ulong Aux;
    public ulong Residual;
    public ulong Positions;
    public RowCount Count;
    public int Width;
    public int Reserved;
}
