using System.Text.Json.Serialization;

namespace LazyLlm.Server.Protocol;

/// <summary>The answer to <c>/tokenize</c>.</summary>
internal sealed record TokenizeResponse(
    int[] Tokens,
    int Count,
    int NCtx,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string[]? Pieces);
