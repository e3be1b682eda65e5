using System.Runtime.InteropServices;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>GemmSm90Args</c> in gemm_sm90.cu, whose size is a multiple of 64 as its tensor maps want it.</summary>
[StructLayout(LayoutKind.Sequential, Size = 320)]
internal struct GemmSm90Args
{
    public CuTensorMap Input;
    public CuTensorMap Weights;
    public LinearArgs Linear;
    public int TileRows;
}
