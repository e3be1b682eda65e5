using System.Globalization;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Running;
using LazyLlm.Native.Pruning;
using ScottPlot;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>One figure of a sweep, drawn by ScottPlot; to be written as PNG and SVG or put into a page.</summary>
public sealed class SweepFigure : IDisposable
{
    private const int Width = 960;
    private const int Height = 460;

    // Told apart by people who do not tell red from green, and by brightness (Okabe and Ito).
    private static readonly string[] Colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

    private static readonly MarkerShape[] Markers =
        [MarkerShape.FilledCircle, MarkerShape.FilledSquare, MarkerShape.FilledDiamond, MarkerShape.FilledTriangleUp, MarkerShape.FilledTriangleDown, MarkerShape.OpenCircle];

    // What a machine without any of these draws with is its own choice.
    private static readonly string[] SansFonts = ["Segoe UI", "Helvetica Neue", "Noto Sans", "Open Sans", "DejaVu Sans", "Liberation Sans", "Arial"];

    private readonly Plot _plot = new();
    private int _series;

    private SweepFigure(string name, string title, string across, string up)
    {
        Name = name;
        Title = title;
        _plot.XLabel(across);
        _plot.YLabel(up);
        _plot.Axes.Left.Label.FontSize = 15;
        _plot.Axes.Bottom.Label.FontSize = 15;
        _plot.Axes.Left.TickLabelStyle.FontSize = 13;
        _plot.Axes.Bottom.TickLabelStyle.FontSize = 13;
        _plot.Grid.MajorLineColor = Color.FromHex("#E4E4E4");
        if (SkiaSharp.SKFontManager.Default.FontFamilies.Intersect(SansFonts).OrderBy(font => Array.IndexOf(SansFonts, font)).FirstOrDefault() is string sans)
        {
            _plot.Font.Set(sans);
        }
    }

    /// <summary>File name without its ending.</summary>
    public string Name { get; }

    /// <summary>What it shows.</summary>
    public string Title { get; }

    /// <summary>The figure as SVG that fits any width.</summary>
    public string Svg => Scalable(_plot.GetSvgXml(Width, Height));

    /// <summary>Figure 5: speed-up against score, a line per family of methods over its strengths.</summary>
    /// <param name="rows">A row per method, the dense model among them.</param>
    /// <param name="methods">The methods.</param>
    public static SweepFigure Tradeoff(IReadOnlyList<MethodScore> rows, IReadOnlyList<IEvaluationMethod> methods)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var figure = new SweepFigure("figure-5-tradeoff", "Speed-up to the first token against score (the paper's Figure 5)", "TTFT speed-up over the dense model", "Score, % of the dense model");
        double dense = rows.Single(row => row.Method == ResultSummary.DenseMethod).Score;
        var family = methods.ToDictionary(method => method.Name, method => method.Family);
        var lines = rows.Where(row => row.Method != ResultSummary.DenseMethod).GroupBy(row => family[row.Method]);
        foreach (IGrouping<string, MethodScore> line in lines.Reverse())
        {
            MethodScore[] points = [.. line.OrderByDescending(row => row.PrefillShare)];
            figure.AddLine(line.Key, [1, .. points.Select(row => row.FirstTokenSpeedup)], [100, .. points.Select(row => dense == 0 ? 0 : 100 * row.Score / dense)]);
        }

        figure.Finish();
        return figure;
    }

    /// <summary>Figure 6: score when positions are dropped once, by layer, a line per share kept.</summary>
    /// <param name="rows">A row per method.</param>
    /// <param name="points">The points.</param>
    public static SweepFigure OnceAtLayer(IReadOnlyList<MethodScore> rows, IReadOnlyList<SweepPoint> points)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var figure = new SweepFigure("figure-6-layers", "Score when pruning once at a layer (the paper's Figure 6)", "First layer that sees fewer positions", "Score");
        var scores = rows.ToDictionary(row => row.Method, row => row.Score);
        figure._plot.Axes.Bottom.SetTicks(
            [.. points.Select(point => (double)point.Layer).Distinct()],
            [.. points.Select(point => point.Layer.ToString(CultureInfo.InvariantCulture)).Distinct()]);
        foreach (IGrouping<double, SweepPoint> line in points.GroupBy(point => point.Keep).OrderBy(line => line.Key))
        {
            figure.AddLine(
                string.Create(CultureInfo.InvariantCulture, $"{line.Key:0%} kept"),
                [.. line.Select(point => (double)point.Layer)],
                [.. line.Select(point => scores[point.Method])]);
        }

        figure.Finish();
        return figure;
    }

    /// <summary>Figure 7: share of the prompt with K and V, by step, a line per stage.</summary>
    public static SweepFigure Growth(CacheGrowth growth)
    {
        ArgumentNullException.ThrowIfNull(growth);
        var figure = new SweepFigure("figure-7-growth", "Share of the prompt with K and V per stage (the paper's Figure 7)", "Step after the prefill", "Prompt positions with K and V, %");
        for (int stage = 0; stage < growth.Stages.Count; stage++)
        {
            figure.AddLine(
                LayerNames(growth.Stages[stage]),
                [.. Enumerable.Range(0, growth.Shares[stage].Length).Select(step => (double)step)],
                [.. growth.Shares[stage].Select(share => 100 * share)]);
        }

        figure.Finish();
        return figure;
    }

    /// <summary>Writes <c>NAME.png</c> and <c>NAME.svg</c> into a folder.</summary>
    public void Save(string folder)
    {
        _plot.SavePng(Path.Combine(folder, $"{Name}.png"), Width, Height);
        File.WriteAllText(Path.Combine(folder, $"{Name}.svg"), Svg);
    }

    /// <inheritdoc/>
    public void Dispose() => _plot.Dispose();

    /// <summary>Without a view box, a page that is narrower than the figure would cut it off.</summary>
    private static string Scalable(string svg)
    {
        int tag = svg.IndexOf("<svg ", StringComparison.Ordinal);
        return tag < 0 || svg.Contains("viewBox", StringComparison.Ordinal)
            ? svg
            : svg.Insert(tag + "<svg ".Length, string.Create(CultureInfo.InvariantCulture, $"viewBox=\"0 0 {Width} {Height}\" "));
    }

    private static string LayerNames(Stage stage) => stage.LayerCount == 1
        ? string.Create(CultureInfo.InvariantCulture, $"layer {stage.FirstLayer}")
        : string.Create(CultureInfo.InvariantCulture, $"layers {stage.FirstLayer} to {stage.EndLayer - 1}");

    private void AddLine(string name, double[] xs, double[] ys)
    {
        ScottPlot.Plottables.Scatter line = _plot.Add.Scatter(xs, ys, Color.FromHex(Colors[_series % Colors.Length]));
        line.LegendText = name;
        line.LineWidth = 2;
        line.MarkerSize = xs.Length > 20 ? 0 : 9;
        line.MarkerShape = Markers[_series % Markers.Length];
        _series++;
    }

    private void Finish()
    {
        // Beside the lines, where it hides none of them.
        _plot.ShowLegend(Edge.Right);
        _plot.Legend.FontSize = 14;
        _plot.Axes.AutoScale();
        _plot.Axes.SetLimitsY(0, 105);
    }
}
