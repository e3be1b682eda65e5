using System.Globalization;

namespace LazyLlm.Evaluation.Running;

/// <summary>Turns results into the figures of the paper's tables.</summary>
public static class ResultSummary
{
    /// <summary>The method that speed-ups are against.</summary>
    public const string DenseMethod = "dense";

    /// <summary>A row per dataset and method, in the order of the results.</summary>
    public static IReadOnlyList<MethodScore> ByDataset(IEnumerable<EvaluationResult> results)
        => [.. results.GroupBy(result => result.Dataset).SelectMany(dataset => Rows(dataset.Key, [.. dataset]))];

    /// <summary>A row per group and method; a group's score is the mean of its datasets' rounded scores.</summary>
    public static IReadOnlyList<MethodScore> ByGroup(IEnumerable<EvaluationResult> results)
        => [.. results.GroupBy(result => result.Group).SelectMany(group => Rows(group.Key, [.. group]))];

    /// <summary>A row per method over all results.</summary>
    public static IReadOnlyList<MethodScore> Overall(IEnumerable<EvaluationResult> results) => Rows("all", [.. results]);

    /// <summary>A dataset's score as the benchmark writes it: 100 times the mean, to two places, a half to the even digit.</summary>
    internal static double DatasetScore(IReadOnlyCollection<double> scores)
    {
        // Through exact decimal digits, as Python rounds the number that is there and not the one that was meant.
        double mean = 100 * scores.Sum() / scores.Count;
        return (double)Math.Round(decimal.Parse(mean.ToString("F20", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture), 2, MidpointRounding.ToEven);
    }

    private static IReadOnlyList<MethodScore> Rows(string scope, IReadOnlyList<EvaluationResult> results)
    {
        List<EvaluationResult> dense = [.. results.Where(result => result.Method == DenseMethod)];
        return [.. results.GroupBy(result => result.Method).Select(method => Row(scope, [.. method], dense))];
    }

    private static MethodScore Row(string scope, IReadOnlyList<EvaluationResult> results, List<EvaluationResult> dense)
    {
        List<FollowUpResult> followUps = [.. results.SelectMany(result => result.FollowUps)];
        List<FollowUpResult> denseFollowUps = [.. dense.SelectMany(result => result.FollowUps)];
        return new MethodScore(
            scope,
            results[0].Method,
            results.GroupBy(result => result.Dataset).Average(dataset => DatasetScore([.. dataset.Select(result => result.Score)])),
            Ratio(dense, results, result => result.FirstTokenMilliseconds),
            Ratio(dense, results, result => result.TotalMilliseconds),
            results.Average(result => result.PromptShare),
            results.Average(result => result.PrefillShare),
            followUps.Count == 0 ? double.NaN : DatasetScore([.. followUps.Select(followUp => followUp.Score)]),
            Ratio(denseFollowUps, followUps, followUp => followUp.FirstTokenMilliseconds),
            followUps.Count == 0 ? double.NaN : results.Average(result => result.FollowUps[^1].TotalShare),
            results.Count);
    }

    /// <summary>Mean of the dense model over mean of the method. A method's runs of one item count once each.</summary>
    private static double Ratio<T>(IReadOnlyCollection<T> dense, IReadOnlyCollection<T> method, Func<T, double> time)
        => dense.Count == 0 || method.Count == 0 ? double.NaN : dense.Average(time) / method.Average(time);
}
