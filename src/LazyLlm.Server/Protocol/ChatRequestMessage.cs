using System.Text.Json;

namespace LazyLlm.Server.Protocol;

/// <summary>A message of a chat request. (Requests are classes with setters: of a constructor's parameter, the reader's errors do not tell the type.)</summary>
internal sealed class ChatRequestMessage
{
    /// <summary>Who says it.</summary>
    public string? Role { get; set; }

    /// <summary>A string, or an array of parts of the type text.</summary>
    public JsonElement? Content { get; set; }

    /// <summary>Calls of tools, which are not supported.</summary>
    public JsonElement? ToolCalls { get; set; }
}
