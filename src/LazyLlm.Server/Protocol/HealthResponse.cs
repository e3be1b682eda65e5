namespace LazyLlm.Server.Protocol;

/// <summary>The answer to <c>/health</c>: <c>ok</c>, <c>draining</c> or <c>faulted</c>.</summary>
internal sealed record HealthResponse(string Status);
