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
        var dense = results.Where(result => result.Method == DenseMethod).ToDictionary(result => (result.Dataset, result.Index));
        return [.. results.GroupBy(result => result.Method).Select(method => Row(scope, [.. method], dense))];
    }

    private static MethodScore Row(string scope, IReadOnlyList<EvaluationResult> results, Dictionary<(string, int), EvaluationResult> dense)
    {
        List<FollowUpResult> followUps = [.. results.SelectMany(result => result.FollowUps)];
        return new MethodScore(
            scope,
            results[0].Method,
            results.GroupBy(result => result.Dataset).Average(dataset => DatasetScore([.. dataset.Select(result => result.Score)])),
            Speedup(result => [result.FirstTokenMilliseconds]),
            Speedup(result => [result.TotalMilliseconds]),
            results.Average(result => result.PromptShare),
            results.Average(result => result.PrefillShare),
            followUps.Count == 0 ? double.NaN : DatasetScore([.. followUps.Select(followUp => followUp.Score)]),
            Speedup(result => result.FollowUps.Select(followUp => followUp.FirstTokenMilliseconds)),
            followUps.Count == 0 ? double.NaN : results.Average(result => result.FollowUps[^1].TotalShare),
            results.Count);

        // The median of what each item gained: one run that the machine's other work slowed down decides nothing.
        double Speedup(Func<EvaluationResult, IEnumerable<double>> times) => Median.Of(results
            .Where(result => dense.ContainsKey((result.Dataset, result.Index)))
            .SelectMany(result => times(dense[(result.Dataset, result.Index)]).Zip(times(result), (before, after) => before / after)));
    }
}
