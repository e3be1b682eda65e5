using System.CommandLine;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Options;

/// <summary>The option that names a pruning schedule.</summary>
internal sealed class PruneFlag(string defaultSchedule)
{
    private readonly Option<string> _prune = new("--prune", "-p")
    {
        Description = "Pruning schedule: 'none', 'paper', 'fast', or layer:keep pairs such as 9:0.7,19:0.49 (from layer 9 on, 70% of the positions take part).",
        HelpName = "SCHEDULE",
        DefaultValueFactory = _ => defaultSchedule,
    };

    /// <summary>Adds the option to a command.</summary>
    public void AddTo(Command command) => command.Options.Add(_prune);

    /// <summary>Reads the schedule.</summary>
    /// <exception cref="Native.Errors.InvalidOptionException">The text is no schedule.</exception>
    public PruningSchedule Read(ParseResult arguments) => PruningSchedule.Parse(arguments.GetValue(_prune)!);
}
