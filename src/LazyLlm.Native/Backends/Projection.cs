namespace LazyLlm.Native.Backends;

/// <summary>The four matrix products of a layer, each with the workspace rows it reads, the rows it writes and its epilogue.</summary>
internal enum Projection
{
    /// <summary>Normed rows x [Wq; Wk; Wv] -> QKV rows.</summary>
    QueryKeyValue,

    /// <summary>Attention rows x Wo, added to the residual rows.</summary>
    AttentionOutput,

    /// <summary>Normed rows x [Wgate; Wup] -> activation rows = silu(gate) · up.</summary>
    GateUp,

    /// <summary>Activation rows x Wdown, added to the residual rows.</summary>
    Down,
}
