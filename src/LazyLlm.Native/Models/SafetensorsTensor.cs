namespace LazyLlm.Native.Models;

/// <summary>One entry of a safetensors header, checked.</summary>
/// <param name="Name">The tensor's name; any text.</param>
/// <param name="DataType">Number format as the header spells it: <c>F32</c>, <c>BF16</c>, ...</param>
/// <param name="Shape">Dimensions; none for a scalar. A tensor without elements may have any others beside its zero.</param>
/// <param name="Offset">First byte, counted from the start of the file.</param>
/// <param name="Length">Bytes.</param>
internal sealed record SafetensorsTensor(string Name, string DataType, ulong[] Shape, long Offset, long Length)
{
    /// <summary>The shape as messages show it: <c>[512, 64]</c>.</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}
