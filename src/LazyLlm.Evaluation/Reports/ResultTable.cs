using System.Globalization;
using LazyLlm.Evaluation.Running;

namespace LazyLlm.Evaluation.Reports;

/// <summary>A table of results in words, to be written as Markdown or into a page.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="Headers">Column titles; the first column holds names, the others figures.</param>
/// <param name="Rows">Cells.</param>
public sealed record ResultTable(string Title, IReadOnlyList<string> Headers, IReadOnlyList<IReadOnlyList<string>> Rows)
{
    /// <summary>The paper's Table 1: score and speed-up to the first token per group and method.</summary>
    public static ResultTable Scores(IEnumerable<EvaluationResult> results) => new(
        "Score and speed-up to the first token (the paper's Table 1)",
        ["Task", "Method", "Score", "TTFT speed-up", "Prefill pairs computed"],
        [.. ResultSummary.ByGroup(results).Select(row => (string[])[row.Scope, row.Method, Score(row.Score), Ratio(row.FirstTokenSpeedup), Share(row.PrefillShare)])]);

    /// <summary>The paper's Table 2: share of the prompt that was computed at all, and speed-up of the whole generation.</summary>
    public static ResultTable Shares(IEnumerable<EvaluationResult> results) => new(
        "Prompt computed and speed-up of the whole generation (the paper's Table 2)",
        ["Task", "Method", "Prompt pairs computed", "Generation speed-up"],
        [.. ResultSummary.ByGroup(results).Select(row => (string[])[row.Scope, row.Method, Share(row.PromptShare), Ratio(row.GenerationSpeedup)])]);

    /// <summary>Everything per dataset.</summary>
    public static ResultTable Datasets(IEnumerable<EvaluationResult> results) => new(
        "Per dataset",
        ["Dataset", "Method", "Score", "TTFT speed-up", "Generation speed-up", "Prompt pairs computed", "Runs"],
        [.. ResultSummary.ByDataset(results).Select(row => (string[])
        [
            row.Scope, row.Method, Score(row.Score), Ratio(row.FirstTokenSpeedup), Ratio(row.GenerationSpeedup), Share(row.PromptShare),
            row.Runs.ToString(CultureInfo.InvariantCulture),
        ])]);

    /// <summary>The recall benchmark: the first question and the follow-up.</summary>
    /// <param name="title">What the rows are.</param>
    /// <param name="rows">The figures.</param>
    public static ResultTable Recall(string title, IReadOnlyList<MethodScore> rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var table = new ResultTable(
            title,
            ["Documents", "Method", "Right", "TTFT speed-up", "Prefill pairs", "Follow-up right", "Pairs in all"],
            [.. rows.Select(row => (string[])
            [
                row.Scope, row.Method, Percent(row.Score), Ratio(row.FirstTokenSpeedup), Share(row.PrefillShare), Percent(row.FollowUpScore), Share(row.FollowUpShare),
            ])]);

        // A column that says the same in every row says nothing.
        return rows.DistinctBy(row => row.Scope).Count() > 1
            ? table
            : table with { Headers = [.. table.Headers.Skip(1)], Rows = [.. table.Rows.Select(row => (string[])[.. row.Skip(1)])] };
    }

    /// <summary>Writes the table as Markdown with aligned columns, which reads well in a terminal too.</summary>
    public void WriteMarkdown(TextWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        int[] widths = [.. Headers.Select((header, column) => Rows.Select(row => row[column].Length).Append(header.Length).Max())];
        WriteRow(Headers);
        writer.WriteLine($"| {string.Join(" | ", widths.Select((width, column) => IsName(column) ? new string('-', width) : new string('-', width - 1) + ":"))} |");
        foreach (IReadOnlyList<string> row in Rows)
        {
            WriteRow(row);
        }

        void WriteRow(IReadOnlyList<string> cells)
            => writer.WriteLine($"| {string.Join(" | ", cells.Select((cell, column) => IsName(column) ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column])))} |");
    }

    /// <summary>Whether a column holds names rather than figures.</summary>
    internal bool IsName(int column) => column == 0 || Headers[column] == "Method";

    private static string Score(double score) => double.IsNaN(score) ? "" : score.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Percent(double score) => double.IsNaN(score) ? "" : score.ToString("0.#", CultureInfo.InvariantCulture) + "%";

    private static string Ratio(double ratio) => double.IsNaN(ratio) ? "" : ratio.ToString("0.00", CultureInfo.InvariantCulture) + "x";

    private static string Share(double share) => double.IsNaN(share) ? "" : share.ToString("0.0%", CultureInfo.InvariantCulture);
}
