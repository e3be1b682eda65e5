namespace LazyLlm.Server.Monitor;

/// <summary>What one stage did for a request.</summary>
/// <param name="First">Its first layer.</param>
/// <param name="End">One past its last layer.</param>
/// <param name="Computed">Positions computed.</param>
/// <param name="Dense">Positions that the dense model computes there.</param>
/// <param name="Revived">Those computed that an earlier step had pruned.</param>
internal sealed record StageFigures(int First, int End, long Computed, long Dense, long Revived);
