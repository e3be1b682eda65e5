namespace LazyLlm.Server.Protocol;

/// <summary>A request to <c>/detokenize</c>.</summary>
internal sealed record DetokenizeRequest(int[]? Tokens);
