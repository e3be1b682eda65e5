using System.Text.Json;

namespace LazyLlm.Server.Protocol;

/// <summary>A request to <c>/v1/completions</c>.</summary>
internal sealed class CompletionRequest : GenerationFields
{
    /// <summary>A string, an array of strings, token ids, or an array of arrays of them.</summary>
    public JsonElement? Prompt { get; set; }

    public bool? Echo { get; set; }
}
