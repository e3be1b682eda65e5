namespace LazyLlm.Native.Models;

/// <summary>A weight in a safetensors file.</summary>
internal sealed class SafetensorsWeight(SafetensorsFile file, SafetensorsTensor tensor, TensorType type, int rows, int columns) : WeightTensor
{
    public override string Name => tensor.Name;

    public override TensorType Type => type;

    public override int Rows => rows;

    public override int Columns => columns;

    public override void Read(long byteOffset, Span<byte> destination) => file.Read(tensor, byteOffset, destination);
}
