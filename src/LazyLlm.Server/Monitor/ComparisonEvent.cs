namespace LazyLlm.Server.Monitor;

/// <summary>A line of a comparison's answer. Which members are there depends on <see cref="Event"/>.</summary>
internal sealed record ComparisonEvent
{
    /// <summary><c>prompt</c>, <c>warm</c>, <c>begin</c>, <c>token</c>, <c>end</c> or <c>error</c>.</summary>
    public required string Event { get; init; }

    /// <summary>Which run: <c>dense</c> or <c>pruned</c>.</summary>
    public string? Run { get; init; }

    /// <summary>Of <c>prompt</c>: what each token shows of the text.</summary>
    public IReadOnlyList<string>? Tokens { get; init; }

    /// <summary>Of <c>begin</c>: the run's pruning schedule.</summary>
    public string? Schedule { get; init; }

    /// <summary>Of <c>token</c>: text that became final.</summary>
    public string? Text { get; init; }

    /// <summary>Of <c>error</c>: what is wrong, and what to do.</summary>
    public string? Message { get; init; }

    /// <summary>Of <c>end</c>.</summary>
    public ComparisonFigures? Figures { get; init; }
}
