using LazyLlm.Evaluation.Metrics;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.LongBench;

/// <summary>One of the 14 English and 2 code datasets of LongBench, with the rules that its own code keeps for it.</summary>
/// <param name="Name">Name of its file and in the configuration.</param>
/// <param name="Group">The kind of task it belongs to, whose score is the mean over its datasets.</param>
/// <param name="Metric">How a prediction is scored.</param>
public sealed record LongBenchDataset(string Name, string Group, Metric Metric)
{
    /// <summary>The groups, in the order of the paper's tables.</summary>
    public static IReadOnlyList<string> Groups { get; } =
        ["Single-Document QA", "Multi-Document QA", "Summarization", "Few-shot Learning", "Synthetic", "Code Completion"];

    /// <summary>All 16, in the order of the groups.</summary>
    public static IReadOnlyList<LongBenchDataset> All { get; } =
    [
        new("narrativeqa", Groups[0], Metric.QaF1),
        new("qasper", Groups[0], Metric.QaF1),
        new("multifieldqa_en", Groups[0], Metric.QaF1),
        new("hotpotqa", Groups[1], Metric.QaF1),
        new("2wikimqa", Groups[1], Metric.QaF1),
        new("musique", Groups[1], Metric.QaF1),
        new("gov_report", Groups[2], Metric.RougeF),
        new("qmsum", Groups[2], Metric.RougeF),
        new("multi_news", Groups[2], Metric.RougeF),
        new("trec", Groups[3], Metric.Classification) { ChatWrapped = false, FirstLineOnly = true },
        new("triviaqa", Groups[3], Metric.QaF1) { ChatWrapped = false, FirstLineOnly = true },
        new("samsum", Groups[3], Metric.RougeF) { ChatWrapped = false, FirstLineOnly = true, StopAtNewline = true },
        new("passage_count", Groups[4], Metric.Count),
        new("passage_retrieval_en", Groups[4], Metric.Retrieval),
        new("lcc", Groups[5], Metric.CodeSimilarity) { ChatWrapped = false },
        new("repobench-p", Groups[5], Metric.CodeSimilarity) { ChatWrapped = false },
    ];

    /// <summary>Whether a chat model gets its prompts in the form of a conversation; few-shot and code prompts stay plain.</summary>
    public bool ChatWrapped { get; init; } = true;

    /// <summary>Whether only the first line of a prediction is scored, after the line breaks that it opens with.</summary>
    public bool FirstLineOnly { get; init; }

    /// <summary>
    /// Whether a line break ends the answer like an end token, and one token at least stands before either
    /// (models go on with made-up dialogues otherwise).
    /// </summary>
    public bool StopAtNewline { get; init; }

    /// <summary>Finds a dataset by its name.</summary>
    /// <exception cref="InvalidOptionException">There is none of that name.</exception>
    public static LongBenchDataset Named(string name) => All.FirstOrDefault(dataset => dataset.Name == name)
        ?? throw new InvalidOptionException("datasets", $"'{name}' is unknown, expected one of {string.Join(", ", All.Select(dataset => dataset.Name))}.");

    /// <inheritdoc/>
    public override string ToString() => Name;
}
