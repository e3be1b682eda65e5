using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_gemv_sm90</c>: the product of one row, and what is done before and behind it in the same kernel.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GemvSm90Args
{
    public LinearArgs Linear;

    /// <summary>The row whose norm is the input; 0 where <see cref="LinearArgs.Input"/> is.</summary>
    public ulong Residual;
    public ulong Gains;
    public int HiddenSize;
    public float Epsilon;

    /// <summary>Where Q and K are turned and stored; else all zero.</summary>
    public TurnArgs Turn;
}
