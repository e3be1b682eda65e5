namespace LazyLlm.Evaluation.Recall;

/// <summary>What a generated <see cref="RecallDocument"/> is like. The same options give the same document everywhere.</summary>
public sealed record RecallDocumentOptions
{
    /// <summary>
    /// Length of the first prompt in tokens, with the start token and the question: the document is the longest
    /// that stays within it, so it is at most one sentence shorter.
    /// </summary>
    public int TokenLength { get; init; } = 1000;

    /// <summary>Seed of every random choice.</summary>
    public ulong Seed { get; init; }

    /// <summary>How many questions to ask of the document; each about another fact, each with another answer.</summary>
    public int QuestionCount { get; init; } = 2;

    /// <summary>Where the first question's fact stands among the sentences: 0 first, 1 last; null for anywhere.</summary>
    public double? Depth { get; init; }

    /// <summary>Share of the sentences that are facts. Without recurrence there are at most as many facts as objects.</summary>
    public double FactShare { get; init; } = 0.4;

    /// <summary>
    /// Whether names and objects recur across facts, so that the name and the object must both be matched to find
    /// the fact; otherwise each name and each object stands in one fact only.
    /// </summary>
    public bool Recurring { get; init; } = true;
}
