using System.Diagnostics.Metrics;

namespace LazyLlm.Native.Diagnostics;

/// <summary>
/// What the engine does, on the meter <c>LazyLlm.Native</c>: once per run, whether a scheduler asked for it or a session's
/// own caller. Costs nothing while nobody listens. <see cref="RequestMetrics"/> has what callers of a scheduler feel.
/// </summary>
public static class EngineMetrics
{
    /// <summary>The meter's name, for listeners.</summary>
    public const string MeterName = "LazyLlm.Native";

    internal static readonly Meter Meter = new(MeterName);

    private static readonly Histogram<double> TimeToFirstToken = Meter.CreateHistogram(
        "lazyllm.time_to_first_token",
        "s",
        "From the start of a run to its first token.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] });

    private static readonly Histogram<double> TimePerOutputToken = Meter.CreateHistogram(
        "lazyllm.time_per_output_token",
        "s",
        "Mean time of the tokens of a run after the first.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5] });

    private static readonly Histogram<double> RunDuration = Meter.CreateHistogram(
        "lazyllm.run.duration",
        "s",
        "From the start of a run to its end.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92] });

    private static readonly Counter<long> PromptTokens = Meter.CreateCounter<long>("lazyllm.prompt_tokens", "{token}", "Prompt tokens taken.");

    private static readonly Counter<long> GeneratedTokens = Meter.CreateCounter<long>("lazyllm.generated_tokens", "{token}", "Tokens generated.");

    private static readonly Counter<long> ComputedPairs = Meter.CreateCounter<long>("lazyllm.computed_pairs", "{pair}", "(token, layer) pairs computed.");

    private static readonly Counter<long> DensePairs = Meter.CreateCounter<long>("lazyllm.dense_pairs", "{pair}", "(token, layer) pairs that dense runs would have computed.");

    private static readonly Counter<long> ComputedPositions = Meter.CreateCounter<long>("lazyllm.computed_positions", "{position}", "Positions computed, by stage.");

    private static readonly Counter<long> RevivedPositions = Meter.CreateCounter<long>("lazyllm.revived_positions", "{position}", "Pruned positions that a later step picked up, by stage.");

    private static readonly UpDownCounter<long> KeyValueBytes = Meter.CreateUpDownCounter<long>("lazyllm.kv_cache.bytes", "By", "K and V of all sessions in use.");

    private static readonly UpDownCounter<long> AuxBytes = Meter.CreateUpDownCounter<long>("lazyllm.aux_cache.bytes", "By", "Aux caches of all sessions in use.");

    private static readonly UpDownCounter<long> WaitingRequests = Meter.CreateUpDownCounter<long>("lazyllm.requests.waiting", "{request}", "Requests in the queues of schedulers.");

    private static readonly UpDownCounter<long> RunningRequests = Meter.CreateUpDownCounter<long>("lazyllm.requests.running", "{request}", "Requests that hold a session of a scheduler.");

    /// <summary>Records a finished run.</summary>
    /// <param name="run">Its figures.</param>
    /// <param name="startAge">How much of its times passed before it began to run: tokenising, waiting.</param>
    internal static void RecordRun(RunStatistics run, TimeSpan startAge = default)
    {
        if (run.GeneratedTokens > 0)
        {
            TimeToFirstToken.Record((run.TimeToFirstToken - startAge).TotalSeconds);
        }

        if (run.GeneratedTokens > 1)
        {
            TimePerOutputToken.Record(run.TimePerOutputToken.TotalSeconds);
        }

        RunDuration.Record(Math.Max(0, (run.TotalTime - startAge).TotalSeconds));
        PromptTokens.Add(run.PromptTokens);
        GeneratedTokens.Add(run.GeneratedTokens);
        ComputedPairs.Add(run.ComputedPairs);
        DensePairs.Add(run.DensePairs);
        foreach (StageStatistics stage in run.Stages)
        {
            var tag = new KeyValuePair<string, object?>("stage", stage.Stage.Index);
            ComputedPositions.Add(stage.Computed, tag);
            RevivedPositions.Add(stage.Revived, tag);
        }
    }

    /// <summary>Records that a session's caches grew, or shrank.</summary>
    internal static void RecordCaches(long keyValueBytes, long auxBytes)
    {
        KeyValueBytes.Add(keyValueBytes);
        AuxBytes.Add(auxBytes);
    }

    /// <summary>Records that requests came to a scheduler's queue or its running ones, or left.</summary>
    internal static void RecordRequests(int waiting, int running)
    {
        WaitingRequests.Add(waiting);
        RunningRequests.Add(running);
    }
}
