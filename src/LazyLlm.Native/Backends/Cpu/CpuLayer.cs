namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The products of one layer.</summary>
/// <param name="QueryKeyValue">[Wq; Wk; Wv].</param>
/// <param name="AttentionOutput">Wo.</param>
/// <param name="GateUp">Wgate and Wup side by side in each panel.</param>
/// <param name="Down">Wdown.</param>
internal sealed record CpuLayer(PanelMatrix QueryKeyValue, PanelMatrix AttentionOutput, PanelMatrix GateUp, PanelMatrix Down);
