using System.CommandLine;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>The option that names LazyLLM's schedules, 'paper' by default.</summary>
internal sealed class ScheduleFlags
{
    private readonly Option<string[]> _schedules = new("--schedules")
    {
        Description = "LazyLLM's schedules, parted by spaces or '|'.",
        HelpName = "SCHEDULE",
        AllowMultipleArgumentsPerToken = true,
        DefaultValueFactory = _ => ["paper"],
    };

    public void AddTo(Command command) => command.Options.Add(_schedules);

    public IReadOnlyList<PruningSchedule> Read(ParseResult arguments) => EvalFlags.Schedules(arguments.GetValue(_schedules)!);
}
