namespace LazyLlm.Evaluation.Tasks;

/// <summary>A further question in the same session, asked once the one before was answered.</summary>
/// <param name="Text">What to append, opening with its separator.</param>
/// <param name="Score">Scores a prediction, from 0 to 1.</param>
public sealed record FollowUpQuestion(string Text, Func<string, double> Score);
