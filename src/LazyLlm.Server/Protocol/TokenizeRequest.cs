namespace LazyLlm.Server.Protocol;

/// <summary>A request to <c>/tokenize</c>: the text as <c>content</c>, or as <c>prompt</c>.</summary>
internal sealed class TokenizeRequest
{
    public string? Content { get; set; }

    public string? Prompt { get; set; }

    public bool? AddSpecial { get; set; }

    public bool? WithPieces { get; set; }
}
