using LazyLlm.Evaluation.Methods;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>
/// The methods that a sweep runs: LazyLLM at the paper's three depths and growing strength, the baselines over the same
/// range of cost (Figure 5), and pruning once at each of some layers (Figure 6).
/// </summary>
public sealed class SweepPlan
{
    private static readonly double[] LadderKeeps = [0.9, 0.7, 0.5, 0.35, 0.2, 0.1];
    private static readonly double[] BaselineKeeps = [0.9, 0.7, 0.5, 0.3, 0.15];
    private static readonly double[] PaperDepths = [9.0 / 32, 19.0 / 32, 28.0 / 32];

    private SweepPlan(IReadOnlyList<IEvaluationMethod> methods, IReadOnlyList<SweepPoint> onceAtLayer, string longRun)
    {
        Methods = methods;
        OnceAtLayer = onceAtLayer;
        GrowthSchedule = longRun;
    }

    /// <summary>Shares of the context that Figure 6 keeps.</summary>
    public static IReadOnlyList<double> Keeps { get; } = [0.1, 0.3, 0.5, 0.7, 0.9];

    /// <summary>Every method once, the dense model first.</summary>
    public IReadOnlyList<IEvaluationMethod> Methods { get; }

    /// <summary>The points of Figure 6.</summary>
    public IReadOnlyList<SweepPoint> OnceAtLayer { get; }

    /// <summary>The schedule of Figure 7: the paper's.</summary>
    public string GrowthSchedule { get; }

    /// <summary>The plan for a model.</summary>
    /// <param name="layerCount">Layers of the model.</param>
    /// <param name="rule">How LazyLLM and static pruning score, and what they always keep.</param>
    /// <param name="families">Names of <see cref="MethodSet.Families"/>.</param>
    /// <param name="layers">Most layers of Figure 6.</param>
    public static SweepPlan Create(int layerCount, SelectionRule rule, IReadOnlyCollection<string> families, int layers = 6)
    {
        ArgumentNullException.ThrowIfNull(rule);
        ArgumentNullException.ThrowIfNull(families);
        var methods = new List<IEvaluationMethod> { ScheduleMethod.Dense };
        List<ScheduleMethod> ladder = [.. LadderKeeps.Select(keep => ScheduleMethod.LazyLlm(Ladder(layerCount, keep, rule)))];
        methods.AddRange(ladder);
        if (families.Contains("static"))
        {
            methods.AddRange(ladder.Select(lazy => MethodSet.StaticAtShare(lazy.PrefillShare(layerCount), rule, layerCount)));
        }

        if (families.Contains("random"))
        {
            methods.AddRange(BaselineKeeps.Select(keep => new RandomDropMethod(keep)));
        }

        if (families.Contains("compression"))
        {
            methods.AddRange(BaselineKeeps.Select(keep => new PromptCompressionMethod(keep)));
        }

        List<SweepPoint> once = [.. Spread(layerCount, layers).SelectMany(layer => Keeps.Select(keep => new SweepPoint(
            layer,
            keep,
            ScheduleMethod.LazyLlm(PruningSchedule.Create([new PruningPoint(layer, keep)], rule)).Name)))];
        methods.AddRange(once.Select(point => ScheduleMethod.LazyLlm(PruningSchedule.Create([new PruningPoint(point.Layer, point.Keep)], rule))));
        return new SweepPlan([.. methods.DistinctBy(method => method.Name)], once, PruningSchedule.Paper.With(rule).ToString());
    }

    /// <summary>Layers from the second to the last, evenly spread.</summary>
    private static IEnumerable<int> Spread(int layerCount, int most)
    {
        int count = Math.Min(most, layerCount - 1);
        return Enumerable.Range(0, count)
            .Select(i => 1 + (int)Math.Round(i * (layerCount - 2) / (double)Math.Max(1, count - 1)))
            .Distinct();
    }

    private static PruningSchedule Ladder(int layerCount, double keep, SelectionRule rule)
    {
        var points = new List<PruningPoint>();
        double kept = 1;
        foreach (double depth in PaperDepths)
        {
            kept *= keep;
            int layer = Math.Max(1, (int)Math.Round(depth * layerCount, MidpointRounding.AwayFromZero));
            if (layer < layerCount && (points.Count == 0 || layer > points[^1].Layer))
            {
                points.Add(new PruningPoint(layer, Math.Round(kept, 4)));
            }
        }

        return PruningSchedule.Create(points, rule);
    }
}
