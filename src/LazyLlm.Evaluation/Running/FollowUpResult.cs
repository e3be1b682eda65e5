namespace LazyLlm.Evaluation.Running;

/// <summary>What came of a further question in the same session.</summary>
/// <param name="Prediction">The text that was scored.</param>
/// <param name="Score">From 0 to 1.</param>
/// <param name="TotalShare">
/// (token, layer) pairs computed from the session's start to the end of this turn, revived ones and what preparing the
/// prompt cost included, over those of the dense model.
/// </param>
/// <param name="FirstTokenMilliseconds">Time to first token of the turn.</param>
public sealed record FollowUpResult(string Prediction, double Score, double TotalShare, double FirstTokenMilliseconds);
