using System.Runtime.InteropServices;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>
/// The mirror of <c>GemmRopeSm90Args</c> in gemm_rope_sm90.cu, whose size is a multiple of 64 as its tensor maps want it:
/// the product of Q, K and V, and where they go once they are turned.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = 384)]
internal struct GemmRopeSm90Args
{
    /// <summary>Set by <see cref="LinearKernels.LaunchTurning"/>, as is <see cref="Weights"/>.</summary>
    public CuTensorMap Input;
    public CuTensorMap Weights;
    public LinearArgs Linear;
    public TurnArgs Turn;
    public int TileRows;
}
