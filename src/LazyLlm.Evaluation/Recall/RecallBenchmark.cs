using LazyLlm.Evaluation.Tasks;

namespace LazyLlm.Evaluation.Recall;

/// <summary>The grid of documents that recall is measured on: lengths times depths of the asked fact.</summary>
public static class RecallBenchmark
{
    /// <summary>The lengths, in tokens, where none are named.</summary>
    public static IReadOnlyList<int> DefaultLengths { get; } = [500, 1000, 1500];

    /// <summary>The depths where none are named.</summary>
    public static IReadOnlyList<double> DefaultDepths { get; } = [0.1, 0.5, 0.9];

    /// <summary>The tasks of the grid. No two use one seed for documents of one length, so no two ask about one document.</summary>
    /// <param name="task">Words and forms.</param>
    /// <param name="lengths">Tokens of the prompts.</param>
    /// <param name="depths">Where the first question's fact stands.</param>
    /// <param name="documents">Documents per cell of the grid.</param>
    /// <param name="followUps">Questions after the first, in the same session.</param>
    /// <param name="seed">Seed of the first document.</param>
    public static IReadOnlyList<IEvaluationTask> Create(
        RecallTask task, IReadOnlyList<int> lengths, IReadOnlyList<double> depths, int documents, int followUps, ulong seed)
        => [.. lengths.SelectMany(length => depths.Select((depth, place) => new RecallEvaluationTask(
            task,
            new RecallDocumentOptions { TokenLength = length, Depth = depth, QuestionCount = followUps + 1, Seed = seed + (ulong)(place * documents) },
            documents)))];
}
