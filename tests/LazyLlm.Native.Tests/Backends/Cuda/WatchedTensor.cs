using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>A weight of random numbers within (-0.5, 0.5) that counts its reads, and does what a test likes before each.</summary>
internal sealed class WatchedTensor(TensorType type, int rows, int columns, int seed, Action<long>? beforeRead = null) : WeightTensor
{
    private readonly byte[] _bytes = Fill(type, rows * columns, seed);
    private int _reads;
    private long _bytesRead;

    public override string Name => "test";

    public override TensorType Type => type;

    public override int Rows => rows;

    public override int Columns => columns;

    /// <summary>Reads that were begun.</summary>
    public int Reads => Volatile.Read(ref _reads);

    /// <summary>Bytes that were read, those twice that were read twice.</summary>
    public long BytesRead => Interlocked.Read(ref _bytesRead);

    /// <summary>A number, or the zero that pads.</summary>
    public float At(int row, int column)
    {
        if (row >= rows || column >= columns)
        {
            return 0;
        }

        float number = 0;
        TensorConversion.Convert(_bytes.AsSpan(((row * columns) + column) * ElementSize, ElementSize), type, MemoryMarshal.AsBytes(new Span<float>(ref number)), TensorType.Float32);
        return number;
    }

    /// <summary>The numbers of a matrix of that many rows and columns, which this one is padded to.</summary>
    public float[] Padded(int paddedRows, int paddedColumns) =>
        [.. Enumerable.Range(0, paddedRows * paddedColumns).Select(i => At(i / paddedColumns, i % paddedColumns))];

    public override void Read(long byteOffset, Span<byte> destination)
    {
        Interlocked.Increment(ref _reads);
        beforeRead?.Invoke(byteOffset);
        _bytes.AsSpan((int)byteOffset, destination.Length).CopyTo(destination);
        Interlocked.Add(ref _bytesRead, destination.Length);
    }

    private static byte[] Fill(TensorType type, int count, int seed)
    {
        var random = new Random(seed);
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++)
        {
            numbers[i] = random.NextSingle() - 0.5f;
        }

        byte[] bytes = new byte[count * TensorConversion.SizeOf(type)];
        TensorConversion.Convert(MemoryMarshal.AsBytes(numbers.AsSpan()), TensorType.Float32, bytes, type);
        return bytes;
    }
}
