using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Generation;

/// <summary>What a request asks for, checked and tokenised.</summary>
/// <param name="Requests">One per answer, in the order of their indices.</param>
/// <param name="Echoes">What stands before each answer's text; empty where nothing does.</param>
/// <param name="Streams">Whether the answer goes out piece by piece.</param>
/// <param name="IncludesUsage">Whether the stream ends with the token counts.</param>
/// <param name="PromptTokens">Tokens of all prompts, each counted once however many answers it gets.</param>
internal sealed record GenerationPlan(GenerationRequest[] Requests, string[] Echoes, bool Streams, bool IncludesUsage, int PromptTokens);
