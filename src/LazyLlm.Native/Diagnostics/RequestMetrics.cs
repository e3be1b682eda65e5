using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace LazyLlm.Native.Diagnostics;

/// <summary>
/// The instruments of requests, as their callers feel them: times count from arrival, waiting included. Names and buckets
/// of OpenTelemetry's conventions for generative AI where those have one. Recorded by schedulers, once per request and
/// never per token; what the engine does for a request, or for a session without one, is in <see cref="EngineMetrics"/>.
/// </summary>
internal static class RequestMetrics
{
    private static readonly Histogram<double> TimeToFirstToken = EngineMetrics.Meter.CreateHistogram(
        "gen_ai.server.time_to_first_token",
        "s",
        "From a request's arrival to its first token.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] });

    private static readonly Histogram<double> TimePerOutputToken = EngineMetrics.Meter.CreateHistogram(
        "gen_ai.server.time_per_output_token",
        "s",
        "Mean time of a finished request's tokens after the first.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5] });

    private static readonly Histogram<double> RequestDuration = EngineMetrics.Meter.CreateHistogram(
        "gen_ai.server.request.duration",
        "s",
        "From a request's arrival to its end.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92] });

    private static readonly Histogram<double> QueueDuration = EngineMetrics.Meter.CreateHistogram(
        "lazyllm.queue.duration",
        "s",
        "Time that admitted requests waited in the queue.",
        null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96] });

    private static readonly Counter<long> EndedRequests = EngineMetrics.Meter.CreateCounter<long>("lazyllm.requests.ended", "{request}", "Requests that ended or were refused, by outcome.");

    private static readonly Counter<long> ReusedTokens = EngineMetrics.Meter.CreateCounter<long>("lazyllm.reused_tokens", "{token}", "Prompt tokens that saved prefixes spared.");

    internal static void RecordQueue(TimeSpan time, in TagList tags) => QueueDuration.Record(time.TotalSeconds, tags);

    internal static void RecordFirstToken(TimeSpan time, in TagList tags) => TimeToFirstToken.Record(time.TotalSeconds, tags);

    internal static void RecordTimePerToken(TimeSpan time, in TagList tags) => TimePerOutputToken.Record(time.TotalSeconds, tags);

    internal static void RecordDuration(TimeSpan time, in TagList tags) => RequestDuration.Record(time.TotalSeconds, tags);

    internal static void RecordReuse(int tokens)
    {
        if (tokens > 0)
        {
            ReusedTokens.Add(tokens);
        }
    }

    internal static void RecordEnd(string outcome, TagList tags)
    {
        tags.Add("lazyllm.outcome", outcome);
        EndedRequests.Add(1, tags);
    }
}
