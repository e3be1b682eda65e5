using System.Globalization;
using LazyLlm.Evaluation.Figures;

namespace LazyLlm.Evaluation.Speed;

/// <summary>The figures of a <see cref="SpeedBenchmark"/>.</summary>
public static class SpeedFigures
{
    /// <summary>Draws what the results hold: a figure that would have nothing to show is left out.</summary>
    /// <param name="results">By batch and length, as they were measured.</param>
    public static IReadOnlyList<LineFigure> Draw(IReadOnlyList<SpeedResult> results)
    {
        var figures = new List<LineFigure>();
        SpeedResult[] single = [.. results.Where(result => result.Case.Batch == 1)];
        if (single.Length > 0)
        {
            figures.Add(OverLength(single, "bench-first-token", "Time to the first token", "Prompt, tokens", result => result.FirstToken));
            if (single.Any(result => result.PerToken > TimeSpan.Zero))
            {
                figures.Add(OverLength(single, "bench-decode", "Time per token", "Context, tokens", result => result.PerToken));
            }

            if (single.Any(result => result.PredictedSpeedup > 1))
            {
                figures.Add(Reached(single));
            }
        }

        int longest = results.Max(result => result.Case.Length);
        SpeedResult[] batched = [.. results.Where(result => result.Case.Length == longest)];
        if (batched.DistinctBy(result => result.Case.Batch).Count() > 1)
        {
            figures.Add(OverBatch(batched, longest));
        }

        return figures;
    }

    private static LineFigure OverLength(SpeedResult[] results, string name, string title, string across, Func<SpeedResult, TimeSpan> time)
    {
        var figure = new LineFigure(name, title, across, $"{title}, ms");
        figure.MarkAcross(results.Select(result => result.Case.Length).Distinct());
        foreach (IGrouping<string, SpeedResult> line in results.GroupBy(NameOf))
        {
            figure.AddLine(line.Key, [.. line.Select(result => (double)result.Case.Length)], [.. line.Select(result => time(result).TotalMilliseconds)]);
        }

        figure.Fit();
        return figure;
    }

    private static LineFigure Reached(SpeedResult[] results)
    {
        var figure = new LineFigure("bench-speed-up", "Speed-up of the first token, measured and counted", "Speed-up by counting operations", "Speed-up measured");
        SpeedResult[] pruned = [.. results.Where(result => result.PredictedSpeedup > 1)];
        double most = pruned.Max(result => result.PredictedSpeedup);
        figure.AddReference("measured as counted", [1, most], [1, most]);
        foreach (IGrouping<string, SpeedResult> line in pruned.GroupBy(NameOf))
        {
            figure.AddLine(line.Key, [.. line.Select(result => result.PredictedSpeedup)], [.. line.Select(result => result.Speedup)], connected: false);
        }

        figure.Fit();
        return figure;
    }

    private static LineFigure OverBatch(SpeedResult[] results, int length)
    {
        var figure = new LineFigure(
            "bench-batch",
            string.Create(CultureInfo.InvariantCulture, $"Tokens per second of all sequences, prompts of {length:N0} tokens included in the time"),
            "Sequences at a time",
            "Generated tokens per second");
        figure.MarkAcross(results.Select(result => result.Case.Batch).Distinct());
        foreach (IGrouping<string, SpeedResult> line in results.GroupBy(NameOf))
        {
            figure.AddLine(line.Key, [.. line.Select(result => (double)result.Case.Batch)], [.. line.Select(result => result.TokensPerSecond)]);
        }

        figure.Fit();
        return figure;
    }

    private static string NameOf(SpeedResult result) => result.Case.Schedule.ToString() is "none" ? "dense" : result.Case.Schedule.ToString();
}
