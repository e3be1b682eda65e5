using System.Globalization;
using ScottPlot;

namespace LazyLlm.Evaluation.Figures;

/// <summary>A figure of lines or points with a legend beside it, drawn by ScottPlot; to be written as PNG and SVG or put into a page.</summary>
public sealed class LineFigure : IDisposable
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
    private readonly bool _isLogarithmic;
    private int _series;

    /// <summary>Starts a figure.</summary>
    /// <param name="name">File name without its ending.</param>
    /// <param name="title">What it shows.</param>
    /// <param name="across">Title of the horizontal axis.</param>
    /// <param name="up">Title of the vertical axis.</param>
    /// <param name="logarithmic">Whether both axes are logarithmic; the values then are above 0.</param>
    public LineFigure(string name, string title, string across, string up, bool logarithmic = false)
    {
        Name = name;
        Title = title;
        _isLogarithmic = logarithmic;
        _plot.XLabel(across);
        _plot.YLabel(up);
        _plot.Axes.Left.Label.FontSize = 15;
        _plot.Axes.Bottom.Label.FontSize = 15;
        _plot.Axes.Left.TickLabelStyle.FontSize = 13;
        _plot.Axes.Bottom.TickLabelStyle.FontSize = 13;
        _plot.Grid.MajorLineColor = Color.FromHex("#E4E4E4");
        if (logarithmic)
        {
            _plot.Axes.Left.TickGenerator = LogarithmicTicks();
            _plot.Axes.Bottom.TickGenerator = LogarithmicTicks();
        }

        if (SkiaSharp.SKFontManager.Default.FontFamilies.Intersect(SansFonts).OrderBy(font => Array.IndexOf(SansFonts, font)).FirstOrDefault() is string sans)
        {
            _plot.Font.Set(sans);
        }

        // Beside the lines, where it hides none of them.
        _plot.ShowLegend(Edge.Right);
        _plot.Legend.FontSize = 14;
    }

    /// <summary>Why figures have no words on this machine, and what to do; null where they have.</summary>
    public static string? MissingFonts => SkiaSharp.SKFontManager.Default.FontFamilyCount > 0
        ? null
        : "No font was found on this machine, so that the figures have lines and no words. Install one (Debian: fonts-dejavu-core), and run again.";

    /// <summary>File name without its ending.</summary>
    public string Name { get; }

    /// <summary>What it shows.</summary>
    public string Title { get; }

    /// <summary>The figure as SVG that fits any width.</summary>
    public string Svg => Scalable(_plot.GetSvgXml(Width, Height));

    /// <summary>Adds a line through points, of its own colour and marker.</summary>
    /// <param name="name">What the legend calls it.</param>
    /// <param name="xs">Where its points stand.</param>
    /// <param name="ys">As many values.</param>
    /// <param name="connected">Whether a line joins the points.</param>
    public void AddLine(string name, double[] xs, double[] ys, bool connected = true)
    {
        ArgumentNullException.ThrowIfNull(xs);
        ScottPlot.Plottables.Scatter line = _plot.Add.Scatter(Placed(xs), Placed(ys), Color.FromHex(Colors[_series % Colors.Length]));
        line.LegendText = name;
        line.LineWidth = connected ? 2 : 0;
        line.MarkerSize = connected && xs.Length > 20 ? 0 : 9;
        line.MarkerShape = Markers[_series % Markers.Length];
        _series++;
    }

    /// <summary>Adds a thin grey line without markers, that the others are held against.</summary>
    /// <param name="name">What the legend calls it.</param>
    /// <param name="xs">Where its points stand.</param>
    /// <param name="ys">As many values.</param>
    public void AddReference(string name, double[] xs, double[] ys)
    {
        ScottPlot.Plottables.Scatter line = _plot.Add.Scatter(Placed(xs), Placed(ys), Color.FromHex("#808080"));
        line.LegendText = name;
        line.LineWidth = 1.5f;
        line.MarkerSize = 0;
    }

    /// <summary>Writes these marks on the horizontal axis, and no other.</summary>
    public void MarkAcross(IEnumerable<int> values)
    {
        int[] marks = [.. values];
        _plot.Axes.Bottom.SetTicks(Placed([.. marks.Select(mark => (double)mark)]), [.. marks.Select(mark => mark.ToString("N0", CultureInfo.InvariantCulture))]);
    }

    /// <summary>Fits the axes to what was added.</summary>
    /// <param name="top">Highest value of the vertical axis, which then begins at 0; null to fit it to the values, from 0 on unless it is logarithmic.</param>
    public void Fit(double? top = null)
    {
        _plot.Axes.AutoScale();
        if (top is double highest)
        {
            _plot.Axes.SetLimitsY(0, highest);
        }
        else if (!_isLogarithmic)
        {
            _plot.Axes.SetLimitsY(0, _plot.Axes.GetLimits().Top);
        }
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

    private static ScottPlot.TickGenerators.NumericAutomatic LogarithmicTicks() => new()
    {
        MinorTickGenerator = new ScottPlot.TickGenerators.LogMinorTickGenerator(),
        IntegerTicksOnly = true,
        LabelFormatter = exponent => Math.Pow(10, exponent).ToString("#,0.########", CultureInfo.InvariantCulture),
    };

    /// <summary>ScottPlot's axes are linear: a logarithmic one shows logarithms.</summary>
    private double[] Placed(double[] values) => _isLogarithmic ? [.. values.Select(Math.Log10)] : values;
}
