namespace LazyLlm.Native.Backends.Cuda;

/// <summary>Device addresses of one layer's weights.</summary>
/// <param name="AttentionNorm">Gains before the attention, float32, hidden.</param>
/// <param name="MlpNorm">Gains before the MLP, float32, hidden.</param>
/// <param name="QueryKeyValue">[Wq; Wk; Wv], QKV width x hidden.</param>
/// <param name="AttentionOutput">Wo, hidden x query width.</param>
/// <param name="GateUp">8 rows of Wgate and 8 of Wup in turn, 2 · intermediate x hidden.</param>
/// <param name="Down">Wdown, hidden x intermediate.</param>
internal readonly record struct LayerWeights(ulong AttentionNorm, ulong MlpNorm, ulong QueryKeyValue, ulong AttentionOutput, ulong GateUp, ulong Down);
