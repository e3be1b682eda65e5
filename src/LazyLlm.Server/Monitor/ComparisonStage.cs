namespace LazyLlm.Server.Monitor;

/// <summary>One stage of a comparison's run.</summary>
/// <param name="First">Its first layer.</param>
/// <param name="End">One past its last layer.</param>
/// <param name="Kept">Positions of the prompt that it kept.</param>
/// <param name="Computed">Positions that it computed, those of the answer included.</param>
/// <param name="Revived">Those of them that an earlier step had pruned.</param>
internal sealed record ComparisonStage(int First, int End, int Kept, long Computed, long Revived);
