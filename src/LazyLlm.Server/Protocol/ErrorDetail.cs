using System.Text.Json.Serialization;

namespace LazyLlm.Server.Protocol;

/// <summary>What an error says; the two counts only where a prompt is longer than the context.</summary>
internal sealed record ErrorDetail(
    string Message,
    string Type,
    string? Param,
    string? Code,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? NPromptTokens = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? NCtx = null);
