using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>A weight in its checkpoint's number format: rows (outputs) x columns (inputs), in row order, outside the managed heap.</summary>
internal sealed unsafe class CpuMatrix : IDisposable
{
    private byte* _data;

    /// <summary>Takes memory for a matrix.</summary>
    public CpuMatrix(TensorType type, int rows, int columns)
    {
        Type = type;
        Rows = rows;
        Columns = columns;
        RowBytes = (long)columns * (type == TensorType.Float32 ? 4 : 2);
        _data = (byte*)NativeMemory.AlignedAlloc((nuint)(RowBytes * rows), 64);
    }

    /// <summary>The number format.</summary>
    public TensorType Type { get; }

    /// <summary>Outputs.</summary>
    public int Rows { get; }

    /// <summary>Inputs.</summary>
    public int Columns { get; }

    /// <summary>Bytes of a row.</summary>
    public long RowBytes { get; }

    /// <summary>Bytes of the matrix.</summary>
    public long ByteLength => RowBytes * Rows;

    /// <summary>The numbers; valid until <see cref="Dispose"/>.</summary>
    public byte* Data => _data;

    /// <summary>Writes row <paramref name="row"/> as float32.</summary>
    public void WidenRow(int row, Span<float> destination)
    {
        byte* source = _data + (row * RowBytes);
        switch (Type)
        {
            case TensorType.Float32:
                new ReadOnlySpan<float>(source, Columns).CopyTo(destination);
                break;
            case TensorType.Float16:
                TensorPrimitives.ConvertToSingle(new ReadOnlySpan<Half>(source, Columns), destination);
                break;
            default:
                ReadOnlySpan<ushort> halves = new(source, Columns);
                for (int i = 0; i < halves.Length; i++)
                {
                    destination[i] = BitConverter.UInt32BitsToSingle((uint)halves[i] << 16);
                }

                break;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(_data);
        _data = null;
    }
}
