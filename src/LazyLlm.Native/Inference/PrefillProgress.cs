namespace LazyLlm.Native.Inference;

/// <summary>How far a step has come.</summary>
/// <param name="Tokens">New tokens of the step.</param>
/// <param name="LayersDone">Layers that have run.</param>
/// <param name="LayerCount">Layers of the model.</param>
public readonly record struct PrefillProgress(int Tokens, int LayersDone, int LayerCount);
