using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Inference;

/// <summary>What one stage saw and computed in one step.</summary>
/// <param name="Stage">The stage.</param>
/// <param name="Kept">Its token set: positions, ascending.</param>
/// <param name="Computed">Rows computed in each of its layers.</param>
/// <param name="Revived">Those of them that an earlier step had pruned.</param>
public sealed record StageTrace(Stage Stage, int[] Kept, int Computed, int Revived)
{
    /// <summary>What <paramref name="sequence"/>, which has just entered <paramref name="stage"/>, sees there. Waits for the device.</summary>
    internal static StageTrace Of(Sequence sequence, Stage stage)
    {
        int[] kept = new int[sequence.Tokens.TokenCount];
        sequence.Memory.ReadTokenSet(kept);
        return new StageTrace(stage, kept, sequence.Tokens.Rows, sequence.Tokens.Revived);
    }
}
