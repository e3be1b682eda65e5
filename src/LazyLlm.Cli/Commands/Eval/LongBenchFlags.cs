using System.CommandLine;
using LazyLlm.Evaluation.LongBench;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>The options that name the user's copy of LongBench.</summary>
internal sealed class LongBenchFlags
{
    private readonly Option<string?> _data = new("--data") { Description = "Folder with a NAME.jsonl per dataset.", HelpName = "DIR" };

    private readonly Option<string?> _config = new("--config") { Description = "The benchmark's own 'config' folder: prompts and limits are read from there.", HelpName = "DIR" };

    private readonly Option<string> _datasets = new("--datasets")
    {
        Description = "Datasets to run; all 16 by default.",
        HelpName = "LIST",
        DefaultValueFactory = _ => string.Join(',', LongBenchDataset.All),
    };

    private readonly Option<string?> _listed = new("--model-name")
    {
        Description = "The model's name in the benchmark's list, such as llama2-7b-chat-4k, for its prompt limit and conversation form.",
        HelpName = "NAME",
    };

    public LongBenchFlags(bool isRequired)
    {
        _data.Required = isRequired;
        _config.Required = isRequired;
    }

    /// <summary>How prompts are shaped; serves other tasks of the same command too.</summary>
    public RecordFlags Records { get; } = new();

    public void AddTo(Command command)
    {
        command.Options.Add(_data);
        command.Options.Add(_config);
        command.Options.Add(_datasets);
        command.Options.Add(_listed);
        Records.AddTo(command);
    }

    public LongBenchConfig? Config(ParseResult arguments) => arguments.GetValue(_config) is string folder ? LongBenchConfig.Load(folder) : null;

    public IReadOnlyList<LongBenchDataset> Datasets(ParseResult arguments) => [.. EvalFlags.Values(arguments.GetValue(_datasets)!).Select(LongBenchDataset.Named)];

    public IReadOnlyList<IEvaluationTask> Tasks(ParseResult arguments, LongBenchConfig config, IReadOnlyList<LongBenchDataset> datasets, LlamaEngine engine)
    {
        string? listed = arguments.GetValue(_listed);
        ChatFormat chat = Records.Chat(arguments);
        if (chat == ChatFormat.Plain && listed is not null)
        {
            chat = ChatFormat.All.FirstOrDefault(format => listed.Contains(format.Name, StringComparison.Ordinal)) ?? chat;
        }

        return [.. datasets.Select(dataset => RecordTask.LongBench(
            dataset,
            arguments.GetValue(_data)!,
            config,
            chat,
            Records.PromptLimit(arguments) ?? (listed is null
                ? Records.PromptLimit(arguments, engine, config.GenerationLimitOf(dataset))
                : config.PromptLimitOf(listed)),
            Records.Limit(arguments)))];
    }
}
