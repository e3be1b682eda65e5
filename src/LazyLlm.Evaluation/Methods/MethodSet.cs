using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Methods;

/// <summary>Chooses members of the method families so that they can be compared: at the cost of a LazyLLM schedule.</summary>
public static class MethodSet
{
    // "The first few layers", of which the paper gives no number: 3 of 32, and as early in shallower models.
    private const double StaticDepth = 3.0 / 32;

    private const double LeastKeep = 0.01;

    /// <summary>Names of the families, in the order of the paper's tables.</summary>
    public static IReadOnlyList<string> Families { get; } = ["dense", "random", "static", "compression", "lazyllm"];

    /// <summary>
    /// The methods of some families: the dense model once, and for each schedule LazyLLM and the baselines that compute as
    /// many (token, layer) pairs of the prompt in their prefill.
    /// </summary>
    /// <param name="families">Names of <see cref="Families"/>.</param>
    /// <param name="schedules">LazyLLM's schedules.</param>
    /// <param name="layerCount">Layers of the model.</param>
    /// <exception cref="InvalidOptionException">A family is unknown, or a schedule does not fit the model.</exception>
    public static IReadOnlyList<IEvaluationMethod> Create(IReadOnlyCollection<string> families, IReadOnlyCollection<PruningSchedule> schedules, int layerCount)
    {
        ArgumentNullException.ThrowIfNull(families);
        if (families.FirstOrDefault(family => !Families.Contains(family)) is string unknown)
        {
            throw new InvalidOptionException("methods", $"'{unknown}' is unknown, expected some of {string.Join(", ", Families)}.");
        }

        var methods = new List<IEvaluationMethod>();
        foreach (string family in Families.Where(families.Contains))
        {
            methods.AddRange(family == "dense" ? [ScheduleMethod.Dense] : schedules.Select(schedule => AtCostOf(family, schedule, layerCount)));
        }

        return [.. methods.DistinctBy(method => method.Name)];
    }

    /// <summary>Static pruning after the first few layers at a share of the prefill's pairs.</summary>
    /// <param name="share">(token, layer) pairs over those of the dense model.</param>
    /// <param name="rule">How it scores and what it always keeps.</param>
    /// <param name="layerCount">Layers of the model.</param>
    public static ScheduleMethod StaticAtShare(double share, SelectionRule rule, int layerCount)
    {
        int layer = Math.Max(1, (int)Math.Round(StaticDepth * layerCount));
        double keep = ((share * layerCount) - layer) / (layerCount - layer);
        return ScheduleMethod.Static(layer, Math.Clamp(keep, LeastKeep, 1), rule);
    }

    private static IEvaluationMethod AtCostOf(string family, PruningSchedule schedule, int layerCount)
    {
        ScheduleMethod lazy = ScheduleMethod.LazyLlm(schedule);
        double share = Math.Round(lazy.PrefillShare(layerCount), 4);
        return family switch
        {
            "random" => new RandomDropMethod(share),
            "static" => StaticAtShare(share, schedule.Rule, layerCount),
            "compression" => new PromptCompressionMethod(share),
            _ => lazy,
        };
    }
}
