namespace LazyLlm.Native.Inference;

/// <summary>Number formats of weights and K/V on a GPU; sums are float32 in each.</summary>
public enum Precision
{
    /// <summary>The checkpoint's 16-bit format; bfloat16 for a float32 checkpoint.</summary>
    Auto,

    /// <summary>bfloat16.</summary>
    BFloat16,

    /// <summary>IEEE half.</summary>
    Float16,

    /// <summary>float32: slower, for checks.</summary>
    Float32,
}
