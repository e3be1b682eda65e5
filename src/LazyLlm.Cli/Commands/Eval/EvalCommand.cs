using System.CommandLine;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary><c>lazyllm eval</c>: whether the answers stay right, and what the pruning gains.</summary>
internal static class EvalCommand
{
    public static Command Create(Terminal terminal) => new("eval", "Measure whether answers stay right under pruning, against the dense model and other methods.")
    {
        RecallCommand.Create(terminal),
        SweepCommand.Create(terminal),
        LongBenchCommand.Create(terminal),
        TaskCommand.Create(terminal),
        ScoreCommand.Create(terminal),
    };
}
