using System.Globalization;
using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Running;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>The figures of a sweep.</summary>
public static class SweepFigures
{
    // A little above 100%, so that no marker is cut.
    private const double Top = 105;

    /// <summary>Figure 5: speed-up against score, a line per family of methods over its strengths.</summary>
    /// <param name="rows">A row per method, the dense model among them.</param>
    /// <param name="methods">The methods.</param>
    public static LineFigure Tradeoff(IReadOnlyList<MethodScore> rows, IReadOnlyList<IEvaluationMethod> methods)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var figure = new LineFigure("figure-5-tradeoff", "Speed-up to the first token against score (the paper's Figure 5)", "TTFT speed-up over the dense model", "Score, % of the dense model");
        double dense = rows.Single(row => row.Method == ResultSummary.DenseMethod).Score;
        var family = methods.ToDictionary(method => method.Name, method => method.Family);
        var lines = rows.Where(row => row.Method != ResultSummary.DenseMethod).GroupBy(row => family[row.Method]);
        foreach (IGrouping<string, MethodScore> line in lines.Reverse())
        {
            MethodScore[] points = [.. line.OrderByDescending(row => row.PrefillShare)];
            figure.AddLine(line.Key, [1, .. points.Select(row => row.FirstTokenSpeedup)], [100, .. points.Select(row => dense == 0 ? 0 : 100 * row.Score / dense)]);
        }

        figure.Fit(Top);
        return figure;
    }

    /// <summary>Figure 6: score when positions are dropped once, by layer, a line per share kept.</summary>
    /// <param name="rows">A row per method.</param>
    /// <param name="points">The points.</param>
    public static LineFigure OnceAtLayer(IReadOnlyList<MethodScore> rows, IReadOnlyList<SweepPoint> points)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var figure = new LineFigure("figure-6-layers", "Score when pruning once at a layer (the paper's Figure 6)", "First layer that sees fewer positions", "Score");
        var scores = rows.ToDictionary(row => row.Method, row => row.Score);
        figure.MarkAcross(points.Select(point => point.Layer).Distinct());
        foreach (IGrouping<double, SweepPoint> line in points.GroupBy(point => point.Keep).OrderBy(line => line.Key))
        {
            figure.AddLine(
                string.Create(CultureInfo.InvariantCulture, $"{line.Key:0%} kept"),
                [.. line.Select(point => (double)point.Layer)],
                [.. line.Select(point => scores[point.Method])]);
        }

        figure.Fit(Top);
        return figure;
    }

    /// <summary>Figure 7: share of the prompt with K and V, by step, a line per stage.</summary>
    public static LineFigure Growth(CacheGrowth growth)
    {
        ArgumentNullException.ThrowIfNull(growth);
        var figure = new LineFigure("figure-7-growth", "Share of the prompt with K and V per stage (the paper's Figure 7)", "Step after the prefill", "Prompt positions with K and V, %");
        for (int stage = 0; stage < growth.Stages.Count; stage++)
        {
            figure.AddLine(
                LayerNames(growth.Stages[stage]),
                [.. Enumerable.Range(0, growth.Shares[stage].Length).Select(step => (double)step)],
                [.. growth.Shares[stage].Select(share => 100 * share)]);
        }

        figure.Fit(Top);
        return figure;
    }

    private static string LayerNames(Stage stage) => stage.LayerCount == 1
        ? string.Create(CultureInfo.InvariantCulture, $"layer {stage.FirstLayer}")
        : string.Create(CultureInfo.InvariantCulture, $"layers {stage.FirstLayer} to {stage.EndLayer - 1}");
}
