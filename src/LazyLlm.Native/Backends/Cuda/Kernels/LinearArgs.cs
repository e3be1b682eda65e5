using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>
/// Parameters of the matrix products: output[rows x N] = input[rows x K] · weights[N x K]^T. Behind the input's rows lies memory for
/// <see cref="LinearKernels.SpareRows"/> more, of any content.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LinearArgs
{
    public ulong Input;
    public ulong Weights;
    public ulong Output;
    public RowCount Count;
    public int N;
    public int K;
    public int OutputStride;
    public LinearEpilogue Epilogue;
}
