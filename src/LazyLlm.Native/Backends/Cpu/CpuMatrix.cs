using System.Numerics.Tensors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>A weight in its checkpoint's number format and row order: the embedding table where it is not the output head as well.</summary>
internal sealed unsafe class CpuMatrix : IDisposable
{
    private readonly FloatBuffer _memory = new();
    private readonly TensorType _type;
    private readonly int _columns;

    /// <summary>Takes memory for <paramref name="tensor"/>; <see cref="Data"/> is to be filled.</summary>
    public CpuMatrix(WeightTensor tensor)
    {
        _type = tensor.Type;
        _columns = tensor.Columns;
        ByteLength = tensor.ByteLength;
        _memory.Reserve((ByteLength + sizeof(float) - 1) / sizeof(float));
    }

    /// <summary>Bytes of the matrix.</summary>
    public long ByteLength { get; }

    /// <summary>The numbers; valid until <see cref="Dispose"/>.</summary>
    public byte* Data => (byte*)_memory.Pointer;

    /// <summary>Writes row <paramref name="row"/> as float32.</summary>
    public void WidenRow(int row, float* destination) =>
        Widen(_type, Data + (row * (ByteLengthOf(_type) * _columns)), destination, _columns);

    /// <summary>Bytes of one number.</summary>
    public static long ByteLengthOf(TensorType type) => type == TensorType.Float32 ? 4 : 2;

    /// <summary>Writes <paramref name="count"/> numbers as float32.</summary>
    public static void Widen(TensorType type, byte* source, float* destination, int count)
    {
        switch (type)
        {
            case TensorType.Float32:
                new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(destination, count));
                break;
            case TensorType.Float16:
                TensorPrimitives.ConvertToSingle(new ReadOnlySpan<Half>(source, count), new Span<float>(destination, count));
                break;
            default:
                for (int i = 0; i < count; i++)
                {
                    destination[i] = BitConverter.UInt32BitsToSingle((uint)((ushort*)source)[i] << 16);
                }

                break;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();
}
