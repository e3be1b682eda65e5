using LazyLlm.Evaluation.Running;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>
/// The schedule with the least computing whose score on the calibration split (items of even index) stays within a loss,
/// with its figures on the other split, which the choice has not seen.
/// </summary>
/// <param name="Method">The method's name; the dense model's where no schedule stays within the loss.</param>
/// <param name="AllowedLoss">Points of score (0 to 100) that it may lose against the dense model.</param>
/// <param name="Calibration">Its figures on the calibration split.</param>
/// <param name="Report">Its figures on the other split.</param>
/// <param name="DenseReport">The dense model's on the other split.</param>
/// <param name="Candidates">How many schedules were compared.</param>
public sealed record Recommendation(
    string Method,
    double AllowedLoss,
    MethodScore Calibration,
    MethodScore Report,
    MethodScore DenseReport,
    int Candidates)
{
    /// <summary>The schedule's text form.</summary>
    public string Schedule => Method == ResultSummary.DenseMethod ? "none" : Method[(Method.IndexOf(' ', StringComparison.Ordinal) + 1)..];

    /// <summary>Chooses among the LazyLLM schedules of some results.</summary>
    /// <param name="results">Results of the dense model and the schedules, all over the same items, two at least.</param>
    /// <param name="allowedLoss">Points of score that may be lost. Follow-up questions, where there are any, must stay within it too.</param>
    public static Recommendation Choose(IReadOnlyCollection<EvaluationResult> results, double allowedLoss)
    {
        ArgumentNullException.ThrowIfNull(results);
        List<EvaluationResult> considered = [.. results.Where(result => result.Method == ResultSummary.DenseMethod || result.Method.StartsWith("lazyllm ", StringComparison.Ordinal))];
        var calibration = ResultSummary.Overall(considered.Where(result => result.Index % 2 == 0)).ToDictionary(row => row.Method);
        var report = ResultSummary.Overall(considered.Where(result => result.Index % 2 == 1)).ToDictionary(row => row.Method);
        MethodScore dense = calibration[ResultSummary.DenseMethod];
        MethodScore chosen = calibration.Values
            .Where(row => row.Score >= dense.Score - allowedLoss && !(row.FollowUpScore < dense.FollowUpScore - allowedLoss))
            .OrderBy(row => row.PrefillShare)
            .ThenByDescending(row => row.Score)
            .First();
        return new Recommendation(chosen.Method, allowedLoss, chosen, report[chosen.Method], report[dense.Method], calibration.Count - 1);
    }
}
