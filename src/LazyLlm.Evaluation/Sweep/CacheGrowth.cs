using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>
/// The paper's Figure 7: per stage, the share of the prompt's positions that have K and V after each step of the
/// generation, mean over some prompts. It rises as later steps pick up positions that earlier ones had left out.
/// </summary>
/// <param name="Stages">The stages, first layer to last.</param>
/// <param name="Shares">Per stage the share after step 0 (the prefill), 1, 2, ...</param>
/// <param name="Prompts">Prompts behind the mean.</param>
public sealed record CacheGrowth(IReadOnlyList<Stage> Stages, IReadOnlyList<double[]> Shares, int Prompts)
{
    /// <summary>Measures it.</summary>
    /// <param name="items">Runs one item.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="schedule">The schedule.</param>
    /// <param name="steps">Steps after the prefill. A text that ends earlier keeps its last share.</param>
    /// <param name="progress">Told after each prompt.</param>
    /// <param name="cancellation">Checked between layers.</param>
    public static CacheGrowth Measure(
        ItemRunner items, IReadOnlyList<EvaluationItem> prompts, PruningSchedule schedule, int steps, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(items);
        ArgumentNullException.ThrowIfNull(prompts);
        StagePlan plan = schedule.PlanFor(items.Engine.Config.LayerCount);
        double[][] sums = [.. plan.Stages.Select(_ => new double[steps + 1])];
        ScheduleMethod method = ScheduleMethod.LazyLlm(schedule);
        for (int prompt = 0; prompt < prompts.Count; prompt++)
        {
            progress?.Report(new EvaluationProgress(prompt, prompts.Count, "growth of the K/V cache", null));
            int length = items.Tokenizer.Encode(prompts[prompt].Prompt.Text).Length;
            int step = 0;
            double[] last = new double[sums.Length];

            // The text goes on behind its answer: growth over steps is the question here, not the answer.
            EvaluationItem endless = prompts[prompt] with { MaxNewTokens = steps + 1, StopText = null, StopAtNewline = false, FollowUps = [] };
            items.Run(endless, "", method, 0, Record, cancellation);
            for (; step <= steps; step++)
            {
                Add(step, last);
            }

            void Record(RunStatistics statistics)
            {
                // Each step after the first computes its own new position in every stage; what is left are the prompt's.
                last = [.. statistics.Stages.Select(stage => (double)(stage.Computed - step) / length)];
                Add(step++, last);
            }
        }

        return new CacheGrowth(plan.Stages, [.. sums.Select(sum => sum.Select(value => value / prompts.Count).ToArray())], prompts.Count);

        void Add(int step, double[] shares)
        {
            for (int stage = 0; stage < shares.Length; stage++)
            {
                sums[stage][step] += shares[stage];
            }
        }
    }
}
