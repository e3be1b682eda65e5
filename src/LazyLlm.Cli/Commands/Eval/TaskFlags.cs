using System.CommandLine;
using LazyLlm.Evaluation.Metrics;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>The options that describe the user's own task.</summary>
internal sealed class TaskFlags
{
    private readonly Option<string?> _file = new("--file") { Description = "The task: one JSON object per line with 'input', 'context' and 'answers' (and 'all_classes' for classification).", HelpName = "FILE" };

    private readonly Option<string> _metric = new("--metric") { Description = $"How to score: {string.Join(", ", Metric.All)}.", HelpName = "NAME", DefaultValueFactory = _ => Metric.QaF1.Name };

    private readonly Option<string> _template = new("--template")
    {
        Description = "Prompt with fields in braces; '\\n' is a line break.",
        HelpName = "TEXT",
        DefaultValueFactory = _ => RecordTask.DefaultTemplate.Replace("\n", "\\n", StringComparison.Ordinal),
    };

    private readonly Option<int> _maxNewTokens = new("--max-new-tokens") { Description = "Most tokens of an answer.", HelpName = "N", DefaultValueFactory = _ => 64 };

    /// <summary>Options of a command; <paramref name="isRequired"/> where the command has no other task.</summary>
    public TaskFlags(bool isRequired)
    {
        _file.Required = isRequired;
    }

    public void AddTo(Command command)
    {
        command.Options.Add(_file);
        command.Options.Add(_metric);
        command.Options.Add(_template);
        command.Options.Add(_maxNewTokens);
    }

    /// <summary>The task, or null where no file is named.</summary>
    public RecordTask? Read(ParseResult arguments, RecordFlags records, LlamaEngine engine)
    {
        int maxNewTokens = EvalFlags.Positive(arguments, _maxNewTokens);
        return arguments.GetValue(_file) is not string file
            ? null
            : RecordTask.FromFile(
                file,
                Metric.Named(arguments.GetValue(_metric)!),
                maxNewTokens,
                records.PromptLimit(arguments, engine, maxNewTokens),
                arguments.GetValue(_template)!.Replace("\\n", "\n", StringComparison.Ordinal),
                records.Chat(arguments),
                records.Limit(arguments));
    }
}
