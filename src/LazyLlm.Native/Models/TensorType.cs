namespace LazyLlm.Native.Models;

/// <summary>Number formats that weights may have.</summary>
public enum TensorType
{
    /// <summary>32-bit IEEE float.</summary>
    Float32,

    /// <summary>16-bit IEEE float.</summary>
    Float16,

    /// <summary>The upper half of a 32-bit IEEE float.</summary>
    BFloat16,
}
