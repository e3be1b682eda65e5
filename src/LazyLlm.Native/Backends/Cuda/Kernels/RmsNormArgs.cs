using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_rmsnorm</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RmsNormArgs
{
    public ulong Residual;
    public ulong Gains;
    public ulong Normed;
    public ulong Aux;
    public ulong Positions;
    public RowCount Count;
    public int Width;
    public int HiddenSize;
    public float Epsilon;
    public int LastOnly;
}
