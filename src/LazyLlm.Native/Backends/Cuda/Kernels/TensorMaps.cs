using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Interop.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Describes matrices to the copy engine (TMA): 16-bit numbers by rows, boxes of 64 columns in the 128-byte swizzle.</summary>
internal static unsafe class TensorMaps
{
    /// <summary>Columns of a box: 128 bytes of a row.</summary>
    public const int BoxColumns = 64;

    private const int Float16Type = 6;
    private const int BFloat16Type = 9;
    private const int Swizzle128Bytes = 3;
    private const int Promote256Bytes = 3;

    /// <summary>A map of a matrix; what a box reaches beyond it reads as zero.</summary>
    /// <param name="storage">bfloat16 or float16.</param>
    /// <param name="address">Of its first number; a multiple of 16.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns, a multiple of 8; rows follow one another without gaps.</param>
    /// <param name="boxRows">Rows of a box, up to 256.</param>
    public static CuTensorMap Encode(TensorType storage, ulong address, int rows, int columns, int boxRows)
    {
        CuTensorMap map;
        ulong* dimensions = stackalloc ulong[] { (ulong)columns, (ulong)rows };
        ulong stride = (ulong)columns * 2;
        uint* box = stackalloc uint[] { BoxColumns, (uint)boxRows };
        uint* steps = stackalloc uint[] { 1, 1 };
        CudaError.Check(CudaDriver.cuTensorMapEncodeTiled(
            &map, storage == TensorType.Float16 ? Float16Type : BFloat16Type, 2, address, dimensions, &stride, box, steps, 0, Swizzle128Bytes, Promote256Bytes, 0));
        return map;
    }
}
