using System.Text.Json;
using System.Text.Json.Serialization;

namespace LazyLlm.Server.Protocol;

/// <summary>What requests for completions and for chats have in common. A field that is absent and one that is null are the same.</summary>
internal abstract class GenerationFields
{
    public string? Model { get; set; }

    public int? MaxTokens { get; set; }

    public float? Temperature { get; set; }

    public float? TopP { get; set; }

    public int? TopK { get; set; }

    public float? MinP { get; set; }

    public float? RepetitionPenalty { get; set; }

    public long? Seed { get; set; }

    /// <summary>A string, or an array of strings.</summary>
    public JsonElement? Stop { get; set; }

    public bool? IgnoreEos { get; set; }

    public int? N { get; set; }

    public bool? Stream { get; set; }

    public StreamOptions? StreamOptions { get; set; }

    /// <summary>A pruning schedule in text form.</summary>
    public string? Pruning { get; set; }

    /// <summary>How many of the prompt's first tokens other requests share.</summary>
    public int? SharedPrefix { get; set; }

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Others { get; set; }
}
