namespace LazyLlm.Native.Backends.Cpu;

/// <summary>What becomes of the numbers of a product.</summary>
internal enum ProductEpilogue
{
    /// <summary>Output = product.</summary>
    Store,

    /// <summary>Output += product.</summary>
    Add,

    /// <summary>Each panel holds as many gate as up columns: output = silu(gate) · up, half as wide as the product.</summary>
    SwiGlu,
}
