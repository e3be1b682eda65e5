using System.Collections.Immutable;

namespace LazyLlm.Native.Inference;

/// <summary>What one step saw and computed, stage by stage.</summary>
/// <param name="Length">Positions of the sequence after the step.</param>
/// <param name="Stages">The stages in order.</param>
public sealed record StepTrace(int Length, ImmutableArray<StageTrace> Stages);
