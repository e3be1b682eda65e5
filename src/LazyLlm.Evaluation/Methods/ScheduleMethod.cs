using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Methods;

/// <summary>The prompt as it is under a pruning schedule: the dense model, LazyLLM with any selection rule, or static pruning.</summary>
public sealed class ScheduleMethod : IEvaluationMethod
{
    private ScheduleMethod(string family, string name, PruningSchedule schedule)
    {
        Family = family;
        Name = name;
        Schedule = schedule;
    }

    /// <summary>The dense model, which all speed-ups are against.</summary>
    public static ScheduleMethod Dense { get; } = new("Baseline", "dense", PruningSchedule.None);

    /// <inheritdoc/>
    public string Family { get; }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int RunCount => 1;

    /// <inheritdoc/>
    public PruningSchedule Schedule { get; }

    /// <summary>LazyLLM under a schedule, whose options may replace the paper's way to score and choose.</summary>
    public static ScheduleMethod LazyLlm(PruningSchedule schedule)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return new ScheduleMethod("LazyLLM", $"lazyllm {schedule}", schedule);
    }

    /// <summary>
    /// Static token pruning: one choice at prefill by the attention of the layers before <paramref name="layer"/>; what it
    /// drops never comes back.
    /// </summary>
    /// <param name="layer">The first layer that sees fewer positions.</param>
    /// <param name="keep">Share of the prompt that it keeps.</param>
    /// <param name="rule">How it scores and what it always keeps; the paper's rule if null.</param>
    public static ScheduleMethod Static(int layer, double keep, SelectionRule? rule = null)
    {
        var schedule = PruningSchedule.Create([new PruningPoint(layer, Math.Round(keep, 4))], (rule ?? SelectionRule.Default) with { Revive = false });
        return new ScheduleMethod("Static Token Pruning", $"static {schedule}".Replace(";revive=no", "", StringComparison.Ordinal), schedule);
    }

    /// <inheritdoc/>
    public double PrefillShare(int layerCount)
        => Schedule.PlanFor(layerCount).Stages.Sum(stage => stage.Keep * stage.LayerCount) / layerCount;

    /// <inheritdoc/>
    public PreparedPrompt Prepare(EvaluationPrompt prompt, LlamaEngine engine, TextTokenizer tokenizer, ulong seed, CancellationToken cancellation)
        => new(tokenizer.Encode(prompt.Text));
}
