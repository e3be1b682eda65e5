namespace LazyLlm.Evaluation.Running;

/// <summary>How far an evaluation is.</summary>
/// <param name="Done">Runs done, those of an earlier call that it goes on from included.</param>
/// <param name="Total">Runs in all.</param>
/// <param name="What">The dataset and method at hand.</param>
/// <param name="TimeLeft">Time left at the pace so far; null before the first run.</param>
public readonly record struct EvaluationProgress(int Done, int Total, string What, TimeSpan? TimeLeft);
