using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Diagnostics;

/// <summary>What one stage did in a run.</summary>
/// <param name="Stage">The stage's layers and keep.</param>
/// <param name="Computed">Positions computed: rows that went through the stage's layers.</param>
/// <param name="Revived">Those of them that an earlier step had pruned.</param>
public readonly record struct StageStatistics(Stage Stage, long Computed, long Revived);
