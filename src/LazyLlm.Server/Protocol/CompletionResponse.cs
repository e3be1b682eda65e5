using System.Text.Json.Serialization;

namespace LazyLlm.Server.Protocol;

/// <summary>An answer to a completion request, whole or a piece of a stream.</summary>
internal sealed record CompletionResponse(
    string Id,
    string Object,
    long Created,
    string Model,
    CompletionChoice[] Choices,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Usage? Usage = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Timings? Timings = null);

/// <summary>One of its choices. Clients expect <c>logprobs</c>, which is always null.</summary>
internal sealed record CompletionChoice(string Text, int Index, string? FinishReason = null, string? Logprobs = null);
