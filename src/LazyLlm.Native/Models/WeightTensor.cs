namespace LazyLlm.Native.Models;

/// <summary>One weight: a matrix of <see cref="Rows"/> x <see cref="Columns"/> in row order (a vector is one row), as it stands in its file.</summary>
public abstract class WeightTensor
{
    /// <summary>The tensor's name in the checkpoint.</summary>
    public abstract string Name { get; }

    /// <summary>The number format in the file.</summary>
    public abstract TensorType Type { get; }

    /// <summary>Rows (outputs of a product); 1 for a vector.</summary>
    public abstract int Rows { get; }

    /// <summary>Columns (inputs of a product).</summary>
    public abstract int Columns { get; }

    /// <summary>Bytes of one number: 2 or 4.</summary>
    public int ElementSize => Type == TensorType.Float32 ? 4 : 2;

    /// <summary>Bytes of the whole tensor.</summary>
    public long ByteLength => (long)Rows * Columns * ElementSize;

    /// <summary>Reads <paramref name="destination"/>.Length bytes of the tensor, starting <paramref name="byteOffset"/> bytes into it. Several threads may read at once.</summary>
    /// <exception cref="Errors.ModelFormatException">The file is shorter than its header said, or cannot be read.</exception>
    public abstract void Read(long byteOffset, Span<byte> destination);
}
