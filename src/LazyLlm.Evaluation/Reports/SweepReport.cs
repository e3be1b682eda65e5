using System.Globalization;
using System.Net;
using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Sweep;

namespace LazyLlm.Evaluation.Reports;

/// <summary>Writes a sweep as one self-contained page: what to use, the figures, the tables, and how it was made.</summary>
public static class SweepReport
{
    private const string Style = """
        :root { color-scheme: light dark; --line: #d5d5d5; --soft: #f4f6f8; --ink: #1c1e21; --paper: #fff; --accent: #0072b2; }
        @media (prefers-color-scheme: dark) { :root { --line: #3a3f45; --soft: #23272c; --ink: #e6e6e6; --paper: #16181b; --accent: #56b4e9; } }
        body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
        h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
        .answer { background: var(--soft); border-left: .35rem solid var(--accent); padding: .8rem 1.1rem; margin: 1.4rem 0; }
        .answer code { font-size: 1.15rem; font-weight: 600; }
        figure { margin: 1rem 0 0; } figure svg { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; } figcaption { font-size: .92rem; margin-top: .4rem; }
        .scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
        th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
        th.name, td.name { text-align: left; } td.value { text-align: left; white-space: normal; overflow-wrap: anywhere; }
        """;

    private static readonly Dictionary<string, string> Captions = new()
    {
        ["figure-5-tradeoff"] = "Each point is one strength of a method, means over all items; to the upper right is better. All lines start at the dense model (1x, 100%). Speed-ups are medians over the items.",
        ["figure-6-layers"] = "One cut at one layer. Where a line reaches the top, the layers before the cut are enough to tell which tokens matter.",
        ["figure-7-growth"] = "How much of the prompt has K and V after the prefill and after each generated token. What stays below 100% was never computed in those layers.",
    };

    /// <summary>Writes the page.</summary>
    /// <param name="writer">Receives the HTML.</param>
    /// <param name="result">The sweep.</param>
    /// <param name="figures">Its figures.</param>
    /// <param name="facts">How it was made.</param>
    public static void Write(TextWriter writer, SweepResult result, IReadOnlyList<LineFigure> figures, RunFacts facts)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(result);
        ArgumentNullException.ThrowIfNull(figures);
        ArgumentNullException.ThrowIfNull(facts);
        string tasks = string.Join("; ", result.Results.GroupBy(item => item.Dataset).Select(dataset => dataset.Key));
        writer.WriteLine($"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Pruning sweep</title><style>{Style}</style></head><body>");
        writer.WriteLine($"<h1>Which pruning schedule to use</h1><p>Measured on {Encode(tasks)}: {Count(result)} items.</p>");
        writer.WriteLine($"<p class=\"answer\">{Answer(result.Recommendation)}</p>");
        foreach (LineFigure figure in figures)
        {
            string svg = figure.Svg;
            writer.WriteLine($"<h2>{Encode(figure.Title)}</h2><figure>{svg[svg.IndexOf("<svg", StringComparison.Ordinal)..]}<figcaption>{Captions[figure.Name]}</figcaption></figure>");
        }

        foreach (ResultTable table in Tables(result))
        {
            WriteTable(writer, table);
        }

        writer.WriteLine("<h2>How it was made</h2><div class=\"scroll\"><table>");
        foreach ((string name, string value) in facts.Facts)
        {
            writer.WriteLine($"<tr><th class=\"name\">{Encode(name)}</th><td class=\"value\">{Encode(value)}</td></tr>");
        }

        writer.WriteLine("</table></div></body></html>");
    }

    /// <summary>The tables of a sweep: all methods together, and the recommendation's two splits.</summary>
    public static IReadOnlyList<ResultTable> Tables(SweepResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        bool hasFollowUps = result.Rows.Any(row => !double.IsNaN(row.FollowUpScore));
        return hasFollowUps
            ? [ResultTable.Recall("All methods", result.Rows)]
            : [ResultTable.Scores(result.Results), ResultTable.Shares(result.Results), ResultTable.Datasets(result.Results)];
    }

    /// <summary>The recommendation in a sentence, as HTML.</summary>
    private static string Answer(Recommendation recommendation)
    {
        MethodScore report = recommendation.Report;
        MethodScore dense = recommendation.DenseReport;
        string text = recommendation.Method == ResultSummary.DenseMethod
            ? $"None of {recommendation.Candidates} schedules stays within {Points(recommendation.AllowedLoss)} of the dense model on the calibration half. Use <code>none</code>."
            : $"Use <code>{Encode(recommendation.Schedule)}</code>. Of {recommendation.Candidates} schedules it computes the least among those within {Points(recommendation.AllowedLoss)} of the dense model on the calibration half of the items. "
                + $"On the other half, which the choice has not seen: score {Number(report.Score)} against {Number(dense.Score)} dense, {Number(report.FirstTokenSpeedup)}x to the first token, {report.PrefillShare.ToString("0%", CultureInfo.InvariantCulture)} of the prefill's (token, layer) pairs computed.";
        return double.IsNaN(report.FollowUpScore) ? text : $"{text} Follow-up questions: {Number(report.FollowUpScore)} against {Number(dense.FollowUpScore)}.";
    }

    private static void WriteTable(TextWriter writer, ResultTable table)
    {
        writer.WriteLine($"<h2>{Encode(table.Title)}</h2><div class=\"scroll\"><table><thead><tr>{string.Concat(table.Headers.Select((header, column) => Cell("th", header, column)))}</tr></thead><tbody>");
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            writer.WriteLine($"<tr>{string.Concat(row.Select((cell, column) => Cell("td", cell, column)))}</tr>");
        }

        writer.WriteLine("</tbody></table></div>");

        string Cell(string tag, string text, int column) => $"<{tag}{(table.IsName(column) ? " class=\"name\"" : "")}>{Encode(text)}</{tag}>";
    }

    private static int Count(SweepResult result) => result.Results.Count(item => item.Method == ResultSummary.DenseMethod);

    private static string Number(double number) => number.ToString("0.##", CultureInfo.InvariantCulture);

    private static string Points(double points) => points == 1 ? "1 point" : $"{Number(points)} points";

    private static string Encode(string text) => WebUtility.HtmlEncode(text);
}
