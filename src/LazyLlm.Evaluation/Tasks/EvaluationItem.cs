namespace LazyLlm.Evaluation.Tasks;

/// <summary>One prompt of a task, with how to generate from it and how to score what comes.</summary>
public sealed record EvaluationItem
{
    /// <summary>The dataset it belongs to.</summary>
    public required string Dataset { get; init; }

    /// <summary>Its place in the dataset, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Its own name, if it has one.</summary>
    public string? Id { get; init; }

    /// <summary>The prompt, cut to its limit.</summary>
    public required EvaluationPrompt Prompt { get; init; }

    /// <summary>Most tokens to generate.</summary>
    public required int MaxNewTokens { get; init; }

    /// <summary>Text that ends the generation; null for none.</summary>
    public string? StopText { get; init; }

    /// <summary>Whether a line break ends the generation like an end token, and neither may come first.</summary>
    public bool StopAtNewline { get; init; }

    /// <summary>Turns the generated text into the prediction that is kept and scored.</summary>
    public Func<string, string> Clean { get; init; } = text => text;

    /// <summary>Scores a prediction, from 0 to 1.</summary>
    public required Func<string, double> Score { get; init; }

    /// <summary>Questions that follow in the same session, with the same limits.</summary>
    public IReadOnlyList<FollowUpQuestion> FollowUps { get; init; } = [];
}
