namespace LazyLlm.Server.Protocol;

/// <summary>A request to <c>/v1/chat/completions</c>.</summary>
internal sealed class ChatRequest : GenerationFields
{
    public ChatRequestMessage?[]? Messages { get; set; }

    public int? MaxCompletionTokens { get; set; }
}
