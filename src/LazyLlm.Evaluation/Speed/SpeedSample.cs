namespace LazyLlm.Evaluation.Speed;

/// <summary>One run of one case.</summary>
/// <param name="FirstToken">From the request to the first token; with several sequences, the middle one's.</param>
/// <param name="LastFirstToken">The same of the sequence that waited longest.</param>
/// <param name="PerToken">Time per token after the first, as one sequence sees it; zero without any.</param>
/// <param name="Total">From the request to the last token of the last sequence.</param>
public readonly record struct SpeedSample(TimeSpan FirstToken, TimeSpan LastFirstToken, TimeSpan PerToken, TimeSpan Total);
