using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Inference;

/// <summary>What one stage saw and computed in one step.</summary>
/// <param name="Stage">The stage.</param>
/// <param name="Kept">Its token set: positions, ascending.</param>
/// <param name="Computed">Rows computed in each of its layers.</param>
/// <param name="Revived">Those of them that an earlier step had pruned.</param>
public sealed record StageTrace(Stage Stage, int[] Kept, int Computed, int Revived);
