namespace LazyLlm.Native.Models;

/// <summary>A tensor as a checkpoint lists it, used by the model or not.</summary>
/// <param name="Name">Its name; any text.</param>
/// <param name="DataType">Its number format as the file spells it: <c>F32</c>, <c>BF16</c>, ...</param>
/// <param name="Shape">Its dimensions; none for a scalar.</param>
/// <param name="File">The path of the file that holds it.</param>
/// <param name="ByteLength">Bytes of its data.</param>
public sealed record TensorInfo(string Name, string DataType, IReadOnlyList<ulong> Shape, string File, long ByteLength);
