namespace LazyLlm.Server.Protocol;

/// <summary>The answer to <c>/v1/models</c>.</summary>
internal sealed record ModelList(string Object, ModelDescription[] Data);
