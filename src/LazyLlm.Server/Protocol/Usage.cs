namespace LazyLlm.Server.Protocol;

/// <summary>Tokens taken and given.</summary>
internal sealed record Usage(int PromptTokens, int CompletionTokens, int TotalTokens, PromptTokensDetails PromptTokensDetails);

/// <summary>How many of a prompt's tokens a saved beginning spared.</summary>
internal sealed record PromptTokensDetails(int CachedTokens);
