using System.Text.Json.Serialization;

namespace LazyLlm.Server.Protocol;

/// <summary>A piece of a streamed chat answer.</summary>
internal sealed record ChatChunk(
    string Id,
    string Object,
    long Created,
    string Model,
    ChatChunkChoice[] Choices,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Usage? Usage = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Timings? Timings = null);

/// <summary>What became of one choice.</summary>
internal sealed record ChatChunkChoice(int Index, ChatDelta Delta, string? FinishReason = null);

/// <summary>What came to a message.</summary>
internal sealed record ChatDelta(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Role = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Content = null);
