namespace LazyLlm.Server.Monitor;

/// <summary>A prompt to run dense and pruned.</summary>
internal sealed class ComparisonRequest
{
    /// <summary>The text.</summary>
    public string? Prompt { get; set; }

    /// <summary>The pruning schedule; the server's where null.</summary>
    public string? Pruning { get; set; }

    /// <summary>Tokens to generate.</summary>
    public int? MaxTokens { get; set; }

    /// <summary>Whether the text is a user's message, to be put into the model's chat form.</summary>
    public bool Chat { get; set; }
}
