namespace LazyLlm.Server.Protocol;

/// <summary>An error in OpenAI's form.</summary>
internal sealed record ErrorResponse(ErrorDetail Error);
