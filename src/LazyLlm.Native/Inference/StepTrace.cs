using System.Collections.Immutable;

namespace LazyLlm.Native.Inference;

/// <summary>What one step saw and computed, stage by stage.</summary>
/// <param name="Length">Positions of the sequence after the step.</param>
/// <param name="Stages">The stages in order.</param>
public sealed record StepTrace(int Length, ImmutableArray<StageTrace> Stages)
{
    /// <summary>Per position, the index of the last stage that kept it in this step.</summary>
    public int[] LastStages()
    {
        int[] lastStages = new int[Length];
        foreach (StageTrace stage in Stages)
        {
            foreach (int position in stage.Kept)
            {
                lastStages[position] = stage.Stage.Index;
            }
        }

        return lastStages;
    }
}
