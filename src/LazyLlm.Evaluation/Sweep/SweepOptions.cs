using LazyLlm.Evaluation.Methods;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>What a sweep runs and looks for.</summary>
public sealed record SweepOptions
{
    /// <summary>Points of score (0 to 100) that the recommended schedule may lose.</summary>
    public double AllowedLoss { get; init; } = 1;

    /// <summary>How positions are scored, and which always stay.</summary>
    public SelectionRule Rule { get; init; } = SelectionRule.Default;

    /// <summary>Families of baselines beside LazyLLM.</summary>
    public IReadOnlyCollection<string> Families { get; init; } = MethodSet.Families;

    /// <summary>Most layers of Figure 6.</summary>
    public int Layers { get; init; } = 6;

    /// <summary>Steps after the prefill in Figure 7.</summary>
    public int GrowthSteps { get; init; } = 35;

    /// <summary>Most prompts behind Figure 7.</summary>
    public int GrowthPrompts { get; init; } = 8;
}
