using System.Text.Json.Serialization;

namespace LazyLlm.Server.Monitor;

/// <summary>The monitor's JSON, written without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, PropertyNameCaseInsensitive = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(MonitorState))]
[JsonSerializable(typeof(ComparisonRequest))]
[JsonSerializable(typeof(ComparisonEvent))]
internal sealed partial class MonitorJson : JsonSerializerContext;
