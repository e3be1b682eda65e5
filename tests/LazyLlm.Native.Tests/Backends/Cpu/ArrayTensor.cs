using LazyLlm.Native.Models;

namespace LazyLlm.Native.Tests.Backends.Cpu;

/// <summary>A weight whose numbers stand in an array.</summary>
internal sealed class ArrayTensor : WeightTensor
{
    private readonly byte[] _bytes;

    public ArrayTensor(TensorType type, int rows, int columns, ReadOnlySpan<float> values)
    {
        Type = type;
        Rows = rows;
        Columns = columns;
        _bytes = new byte[ByteLength];
        Values = new float[rows * columns];
        for (int i = 0; i < Values.Length; i++)
        {
            Values[i] = Store(values[i], _bytes.AsSpan(i * ElementSize));
        }
    }

    /// <summary>The numbers as the format holds them.</summary>
    public float[] Values { get; }

    public override string Name => "array";

    public override TensorType Type { get; }

    public override int Rows { get; }

    public override int Columns { get; }

    public override void Read(long byteOffset, Span<byte> destination) => _bytes.AsSpan((int)byteOffset, destination.Length).CopyTo(destination);

    public static ArrayTensor Random(TensorType type, int rows, int columns, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (random.NextSingle() * 2) - 1;
        }

        return new ArrayTensor(type, rows, columns, values);
    }

    private float Store(float value, Span<byte> destination)
    {
        switch (Type)
        {
            case TensorType.Float32:
                BitConverter.TryWriteBytes(destination, value);
                return value;
            case TensorType.Float16:
                BitConverter.TryWriteBytes(destination, (Half)value);
                return (float)(Half)value;
            default:
                ushort upper = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
                BitConverter.TryWriteBytes(destination, upper);
                return BitConverter.UInt32BitsToSingle((uint)upper << 16);
        }
    }
}
