using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.Running;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>What came of a sweep.</summary>
/// <param name="Plan">The methods.</param>
/// <param name="Results">Every result.</param>
/// <param name="Growth">The growth of the K/V cache.</param>
/// <param name="Recommendation">The schedule to use.</param>
public sealed record SweepResult(SweepPlan Plan, IReadOnlyList<EvaluationResult> Results, CacheGrowth Growth, Recommendation Recommendation)
{
    /// <summary>A row per method over all items.</summary>
    public IReadOnlyList<MethodScore> Rows { get; } = ResultSummary.Overall(Results);

    /// <summary>Draws the three figures.</summary>
    public IReadOnlyList<LineFigure> DrawFigures()
    {
        // Pruning once is Figure 6's; Figure 5 compares the methods along their own range of strength.
        var once = Plan.OnceAtLayer.Select(point => point.Method).ToHashSet();
        MethodScore[] compared = [.. Rows.Where(row => !once.Contains(row.Method))];
        return
        [
            SweepFigures.Tradeoff(compared, Plan.Methods),
            SweepFigures.OnceAtLayer(Rows, Plan.OnceAtLayer),
            SweepFigures.Growth(Growth),
        ];
    }
}
