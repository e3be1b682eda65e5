using LazyLlm.Evaluation.LongBench;
using LazyLlm.Evaluation.Metrics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Tasks;

/// <summary>A task whose records stand in a jsonl file: a dataset of LongBench, or the user's own.</summary>
public sealed class RecordTask : IEvaluationTask
{
    /// <summary>The prompt of a user's own task: the document, an empty line, the question.</summary>
    public const string DefaultTemplate = "{context}\n\n{input}";

    private const string DocumentField = "context";

    private RecordTask()
    {
    }

    /// <inheritdoc/>
    public required string Name { get; init; }

    /// <inheritdoc/>
    public required string Group { get; init; }

    /// <summary>The jsonl file.</summary>
    public required string Path { get; init; }

    /// <summary>The prompt with its fields.</summary>
    public required PromptTemplate Template { get; init; }

    /// <summary>How a prediction is scored.</summary>
    public required Metric Metric { get; init; }

    /// <summary>Most tokens to generate.</summary>
    public required int MaxNewTokens { get; init; }

    /// <summary>Most tokens of a prompt before it is wrapped, start token included; longer ones lose their middle.</summary>
    public required int PromptLimit { get; init; }

    /// <summary>Most records to use, the first ones of the file; null for all.</summary>
    public int? Limit { get; init; }

    /// <summary>The conversation that prompts are put into.</summary>
    public ChatFormat Chat { get; init; } = ChatFormat.Plain;

    /// <summary>Whether prompts are put into a conversation at all; replies are cleaned either way.</summary>
    public bool ChatWrapped { get; init; } = true;

    /// <summary>Whether only the first line of a prediction is scored.</summary>
    public bool FirstLineOnly { get; init; }

    /// <summary>Whether a line break ends an answer.</summary>
    public bool StopAtNewline { get; init; }

    /// <inheritdoc/>
    public string Description => $"{Name}: file {System.IO.Path.GetFileName(Path)}, metric {Metric}, prompt limit {PromptLimit}, generation limit {MaxNewTokens}, chat {(ChatWrapped ? Chat : ChatFormat.Plain)}";

    /// <summary>A dataset of LongBench.</summary>
    /// <param name="dataset">Which.</param>
    /// <param name="dataFolder">The folder that holds <c>NAME.jsonl</c>.</param>
    /// <param name="config">The benchmark's configuration.</param>
    /// <param name="chat">The model's conversation form.</param>
    /// <param name="promptLimit">Most tokens of a prompt.</param>
    /// <param name="limit">Most records to use.</param>
    public static RecordTask LongBench(LongBenchDataset dataset, string dataFolder, LongBenchConfig config, ChatFormat chat, int promptLimit, int? limit = null)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        ArgumentNullException.ThrowIfNull(config);
        return new RecordTask
        {
            Name = dataset.Name,
            Group = dataset.Group,
            Path = System.IO.Path.Combine(dataFolder, $"{dataset.Name}.jsonl"),
            Template = config.TemplateOf(dataset),
            Metric = dataset.Metric,
            MaxNewTokens = config.GenerationLimitOf(dataset),
            PromptLimit = Checked(promptLimit),
            Limit = limit,
            Chat = chat,
            ChatWrapped = dataset.ChatWrapped,
            FirstLineOnly = dataset.FirstLineOnly,
            StopAtNewline = dataset.StopAtNewline,
        };
    }

    /// <summary>The user's own task: records with <c>input</c>, <c>context</c> and <c>answers</c>.</summary>
    /// <param name="path">The jsonl file.</param>
    /// <param name="metric">How to score.</param>
    /// <param name="maxNewTokens">Most tokens to generate.</param>
    /// <param name="promptLimit">Most tokens of a prompt.</param>
    /// <param name="template">The prompt; <see cref="DefaultTemplate"/> if null.</param>
    /// <param name="chat">The conversation that prompts are put into.</param>
    /// <param name="limit">Most records to use.</param>
    public static RecordTask FromFile(string path, Metric metric, int maxNewTokens, int promptLimit, string? template = null, ChatFormat? chat = null, int? limit = null)
    {
        string name = System.IO.Path.GetFileNameWithoutExtension(path);
        return new RecordTask
        {
            Name = name,
            Group = name,
            Path = path,
            Template = new PromptTemplate(template ?? DefaultTemplate, "--template"),
            Metric = metric,
            MaxNewTokens = maxNewTokens > 0 ? maxNewTokens : throw new InvalidOptionException("max new tokens", $"{maxNewTokens} is not above 0."),
            PromptLimit = Checked(promptLimit),
            Limit = limit,
            Chat = chat ?? ChatFormat.Plain,
        };
    }

    /// <inheritdoc/>
    public int CountItems() => Records().Count();

    /// <inheritdoc/>
    public IEnumerable<EvaluationItem> ReadItems(TextTokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return Records().Select((record, index) => new EvaluationItem
        {
            Dataset = Name,
            Index = index,
            Id = record.Id,
            Prompt = BuildPrompt(record, tokenizer),
            MaxNewTokens = MaxNewTokens,
            StopAtNewline = StopAtNewline,
            Clean = Chat.Clean,
            Score = prediction => Metric.BestScore(FirstLineOnly ? prediction.TrimStart('\n').Split('\n')[0] : prediction, record.Answers, record.AllClasses),
        });
    }

    private static int Checked(int promptLimit) => promptLimit >= 2
        ? promptLimit
        : throw new InvalidOptionException("prompt limit", $"{promptLimit} tokens hold no two halves of a prompt; expected 2 or more.");

    private IEnumerable<EvaluationRecord> Records()
    {
        IEnumerable<EvaluationRecord> records = EvaluationRecord.ReadFile(Path);
        return Limit is int limit ? records.Take(limit) : records;
    }

    /// <summary>
    /// The record's prompt, cut in the middle by tokens where it is too long, then wrapped. The cut is one of text: the
    /// halves are decoded and joined, and the model tokenises the whole again.
    /// </summary>
    private EvaluationPrompt BuildPrompt(EvaluationRecord record, TextTokenizer tokenizer)
    {
        (string head, string tail) = Template.FormatAround(record, DocumentField);
        string text = Template.Format(record);
        int[] ids = tokenizer.Encode(text);
        if (ids.Length > PromptLimit)
        {
            int half = PromptLimit / 2;
            text = tokenizer.Decode(ids.AsSpan(0, half)) + tokenizer.Decode(ids.AsSpan(ids.Length - half));
        }

        // A cut that reaches into the instructions leaves no telling what is document, so all of it is.
        bool whole = text.Length >= head.Length + tail.Length
            && text.StartsWith(head, StringComparison.Ordinal) && text.EndsWith(tail, StringComparison.Ordinal);
        EvaluationPrompt prompt = whole
            ? new EvaluationPrompt(head, text[head.Length..^tail.Length], tail)
            : new EvaluationPrompt("", text, "");
        return ChatWrapped
            ? prompt with { Head = Chat.Prefix + prompt.Head, Tail = prompt.Tail + Chat.Suffix }
            : prompt;
    }
}
