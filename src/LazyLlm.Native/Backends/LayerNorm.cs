namespace LazyLlm.Native.Backends;

/// <summary>The two RMSNorms of a layer.</summary>
internal enum LayerNorm
{
    /// <summary>Before the attention.</summary>
    Attention,

    /// <summary>Before the MLP.</summary>
    Mlp,
}
