namespace LazyLlm.Server.Protocol;

/// <summary>The answer to <c>/detokenize</c>.</summary>
internal sealed record DetokenizeResponse(string Content);
