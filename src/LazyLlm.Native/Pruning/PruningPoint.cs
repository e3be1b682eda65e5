namespace LazyLlm.Native.Pruning;

/// <summary>One entry of a schedule: from <paramref name="Layer"/> on, at most ceil(<paramref name="Keep"/> · n) of n positions take part.</summary>
/// <param name="Layer">First layer that sees fewer positions, 1-based count of full layers before it (0-based index, at least 1).</param>
/// <param name="Keep">Fraction of the whole context that is kept, above 0 and at most 1.</param>
public readonly record struct PruningPoint(int Layer, double Keep);
