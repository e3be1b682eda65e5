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
        ReadOnlySpan<ulong> dimensions = [(ulong)columns, (ulong)rows];
        ReadOnlySpan<ulong> strides = [(ulong)columns * 2];
        ReadOnlySpan<uint> box = [BoxColumns, (uint)boxRows];
        return Encode(storage, address, dimensions, strides, box);
    }

    /// <summary>A map of rows of several heads; a box is 64 columns of one head, and what it reaches beyond the head reads as zero.</summary>
    /// <param name="storage">bfloat16 or float16.</param>
    /// <param name="address">Of the first row's first head; a multiple of 16.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="heads">Heads, one behind the other in a row.</param>
    /// <param name="headSize">Numbers of a head, a multiple of 8.</param>
    /// <param name="stride">Numbers from row to row, a multiple of 8.</param>
    /// <param name="boxRows">Rows of a box, up to 256.</param>
    public static CuTensorMap EncodeHeads(TensorType storage, ulong address, int rows, int heads, int headSize, long stride, int boxRows)
    {
        ReadOnlySpan<ulong> dimensions = [(ulong)headSize, (ulong)heads, (ulong)rows];
        ReadOnlySpan<ulong> strides = [(ulong)headSize * 2, (ulong)stride * 2];
        ReadOnlySpan<uint> box = [BoxColumns, 1, (uint)boxRows];
        return Encode(storage, address, dimensions, strides, box);
    }

    private static CuTensorMap Encode(TensorType storage, ulong address, ReadOnlySpan<ulong> dimensions, ReadOnlySpan<ulong> strides, ReadOnlySpan<uint> box)
    {
        CuTensorMap map;
        uint* steps = stackalloc uint[] { 1, 1, 1 };
        fixed (ulong* dimension = dimensions, stride = strides)
        fixed (uint* side = box)
        {
            CudaError.Check(CudaDriver.cuTensorMapEncodeTiled(
                &map, storage == TensorType.Float16 ? Float16Type : BFloat16Type, (uint)dimensions.Length, address, dimension, stride, side, steps, 0, Swizzle128Bytes, Promote256Bytes, 0));
        }

        return map;
    }
}
