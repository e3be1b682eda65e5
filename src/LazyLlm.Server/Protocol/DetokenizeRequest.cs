namespace LazyLlm.Server.Protocol;

/// <summary>A request to <c>/detokenize</c>.</summary>
internal sealed class DetokenizeRequest
{
    public int[]? Tokens { get; set; }
}
