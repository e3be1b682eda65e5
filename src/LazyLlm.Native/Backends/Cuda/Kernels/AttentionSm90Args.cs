using System.Runtime.InteropServices;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>AttentionSm90Args</c> in attention_sm90.cuh, whose size is a multiple of 64 as its tensor maps want it.</summary>
[StructLayout(LayoutKind.Sequential, Size = 512)]
internal struct AttentionSm90Args
{
    public CuTensorMap Queries;
    public CuTensorMap Keys;
    public CuTensorMap Values;
    public AttentionArgs Attention;
    public int HeadGroup;
}
