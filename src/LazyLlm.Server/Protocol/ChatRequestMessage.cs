using System.Text.Json;

namespace LazyLlm.Server.Protocol;

/// <summary>A message of a chat request.</summary>
/// <param name="Role">Who says it.</param>
/// <param name="Content">A string, or an array of parts of the type text.</param>
/// <param name="ToolCalls">Calls of tools, which are not supported.</param>
internal sealed record ChatRequestMessage(string? Role, JsonElement? Content, JsonElement? ToolCalls);
