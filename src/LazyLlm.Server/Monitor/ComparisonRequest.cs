namespace LazyLlm.Server.Monitor;

/// <summary>A prompt to run dense and pruned.</summary>
/// <param name="Prompt">The text.</param>
/// <param name="Pruning">The pruning schedule; the server's where null.</param>
/// <param name="MaxTokens">Tokens to generate.</param>
/// <param name="Chat">Whether the text is a user's message, to be put into the model's chat form.</param>
internal sealed record ComparisonRequest(string? Prompt, string? Pruning = null, int? MaxTokens = null, bool Chat = false);
