namespace LazyLlm.Server.Protocol;

/// <summary>A whole answer to a chat request.</summary>
internal sealed record ChatResponse(string Id, string Object, long Created, string Model, ChatChoice[] Choices, Usage Usage, Timings Timings);

/// <summary>One of its choices. Clients expect <c>logprobs</c>, which is always null.</summary>
internal sealed record ChatChoice(int Index, ChatAnswer Message, string FinishReason, string? Logprobs = null);

/// <summary>The model's message. Clients expect <c>refusal</c>, which is always null.</summary>
internal sealed record ChatAnswer(string Role, string Content, string? Refusal = null);
