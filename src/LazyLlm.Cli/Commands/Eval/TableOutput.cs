using LazyLlm.Evaluation.Reports;
using LazyLlm.Evaluation.Running;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>Writes the paper's tables to standard output.</summary>
internal static class TableOutput
{
    public static void Write(Terminal terminal, IReadOnlyList<EvaluationResult> results)
    {
        foreach (ResultTable table in (ResultTable[])[ResultTable.Scores(results), ResultTable.Shares(results), ResultTable.Datasets(results)])
        {
            terminal.Out.WriteLine($"{table.Title}:");
            table.WriteMarkdown(terminal.Out);
            terminal.Out.WriteLine();
        }
    }
}
