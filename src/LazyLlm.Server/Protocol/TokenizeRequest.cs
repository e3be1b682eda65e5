namespace LazyLlm.Server.Protocol;

/// <summary>A request to <c>/tokenize</c>: the text as <c>content</c>, or as <c>prompt</c>.</summary>
internal sealed record TokenizeRequest(string? Content, string? Prompt, bool? AddSpecial, bool? WithPieces);
