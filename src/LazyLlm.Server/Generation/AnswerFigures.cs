using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Scheduling;
using LazyLlm.Server.Protocol;

namespace LazyLlm.Server.Generation;

/// <summary>The figures of ended answers, as clients get them.</summary>
internal static class AnswerFigures
{
    /// <summary>Tokens of a request's answers together. A prompt that got several answers counts once.</summary>
    public static Usage UsageOf(GenerationPlan plan, IReadOnlyList<ScheduledAnswer> answers)
    {
        int generated = answers.Sum(answer => answer.GeneratedTokens);
        int reused = answers.Max(answer => answer.ReusedTokens);
        return new Usage(plan.PromptTokens, generated, plan.PromptTokens + generated, new PromptTokensDetails(reused));
    }

    /// <summary>
    /// Times and work. Of several answers together: waiting and first token of the one that came first, the end of the last
    /// one, the work of all.
    /// </summary>
    /// <param name="prepared">From the arrival to the queue.</param>
    /// <param name="answers">Answers that ended well.</param>
    public static Timings TimingsOf(TimeSpan prepared, IReadOnlyList<ScheduledAnswer> answers)
    {
        ScheduledAnswer first = answers.MinBy(answer => answer.TimeToFirstToken)!;
        RunStatistics[] runs = [.. answers.Select(answer => answer.Statistics!)];
        long computed = runs.Sum(run => run.ComputedPairs);
        long dense = runs.Sum(run => run.DensePairs);
        int laterTokens = runs.Sum(run => run.GeneratedTokens - 1);
        double perToken = runs.Sum(run => run.TimePerOutputToken.TotalMilliseconds * (run.GeneratedTokens - 1)) / Math.Max(1, laterTokens);
        TimeSpan prefill = first.TimeToFirstToken - first.QueueTime - prepared;
        return new Timings(
            Round(prepared.TotalMilliseconds),
            Round(first.QueueTime.TotalMilliseconds),
            Round(Math.Max(0, prefill.TotalMilliseconds)),
            Round(first.TimeToFirstToken.TotalMilliseconds),
            Round(perToken),
            Round(runs.Max(run => run.TotalTime).TotalMilliseconds),
            computed,
            dense,
            Share(computed, dense),
            runs.Sum(run => run.Stages.Sum(stage => stage.Revived)),
            Stages(runs));
    }

    private static StageTimings[] Stages(RunStatistics[] runs)
    {
        // All answers of a request have its schedule, so that their stages are the same.
        int layers = runs[0].Stages[^1].Stage.EndLayer;
        long densePositions = runs.Sum(run => run.DensePairs) / layers;
        return [.. runs[0].Stages.Select((stage, i) =>
        {
            long computed = runs.Sum(run => run.Stages[i].Computed);
            return new StageTimings(
                stage.Stage.FirstLayer,
                stage.Stage.EndLayer - 1,
                stage.Stage.Keep,
                computed,
                runs.Sum(run => run.Stages[i].Revived),
                Share(computed, densePositions));
        })];
    }

    private static double Share(long computed, long dense) => dense == 0 ? 1 : Math.Round((double)computed / dense, 4);

    private static double Round(double milliseconds) => Math.Round(milliseconds, 3);
}
