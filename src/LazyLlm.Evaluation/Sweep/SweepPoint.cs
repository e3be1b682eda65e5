namespace LazyLlm.Evaluation.Sweep;

/// <summary>A point of Figure 6: pruning once.</summary>
/// <param name="Layer">The first layer that sees fewer positions.</param>
/// <param name="Keep">Share of the context that it keeps.</param>
/// <param name="Method">The method's name in results.</param>
public sealed record SweepPoint(int Layer, double Keep, string Method);
