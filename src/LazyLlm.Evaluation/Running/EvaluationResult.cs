namespace LazyLlm.Evaluation.Running;

/// <summary>What came of one item under one method and seed: one line of a result file.</summary>
public sealed record EvaluationResult
{
    /// <summary>The dataset's group.</summary>
    public required string Group { get; init; }

    /// <summary>The dataset.</summary>
    public required string Dataset { get; init; }

    /// <summary>The item's place in the dataset.</summary>
    public required int Index { get; init; }

    /// <summary>The item's own name, if it has one.</summary>
    public string? Id { get; init; }

    /// <summary>The method's name.</summary>
    public required string Method { get; init; }

    /// <summary>Which of the method's runs, from 0.</summary>
    public required int Run { get; init; }

    /// <summary>The text that was scored.</summary>
    public required string Prediction { get; init; }

    /// <summary>From 0 to 1.</summary>
    public required double Score { get; init; }

    /// <summary>Tokens of the whole prompt, before the method changed it.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>Tokens generated.</summary>
    public required int GeneratedTokens { get; init; }

    /// <summary>
    /// (token, layer) pairs of the prompt that were computed up to the last token, over those of the whole prompt: what
    /// a method read of it, not what preparing it cost.
    /// </summary>
    public required double PromptShare { get; init; }

    /// <summary>(token, layer) pairs that were computed up to the first token, preparing the prompt included, over those of the whole prompt.</summary>
    public required double PrefillShare { get; init; }

    /// <summary>Further questions in the same session.</summary>
    public IReadOnlyList<FollowUpResult> FollowUps { get; init; } = [];

    /// <summary>Time to first token, preparing the prompt included.</summary>
    public required double FirstTokenMilliseconds { get; init; }

    /// <summary>Time to the last token.</summary>
    public required double TotalMilliseconds { get; init; }

    /// <summary>What tells this result from all others of a run.</summary>
    public (string Dataset, int Index, string Method, int Run) Key => (Dataset, Index, Method, Run);
}
