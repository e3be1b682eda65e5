using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Native.Scheduling;

/// <summary>What a caller asks of a <see cref="Scheduler"/>.</summary>
public sealed record GenerationRequest
{
    /// <summary>The prompt, one token at least. Not copied: leave it as it is until the answer has ended.</summary>
    public required ReadOnlyMemory<int> Tokens { get; init; }

    /// <summary>The pruning schedule.</summary>
    public PruningSchedule Schedule { get; init; } = PruningSchedule.None;

    /// <summary>Sampling, length and stops; greedy by default.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>
    /// How many of the first tokens (a system prompt, a document) other requests share. They run as a turn of their own and
    /// are kept, so that the next request with the same beginning and schedule goes on from a copy. The answer is the same
    /// whether a copy was there or not; under a pruning schedule it may differ from that to an undivided prompt.
    /// </summary>
    public int SharedPrefix { get; init; }

    /// <summary>Longest time that the request may take, waiting included. Null for the scheduler's.</summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>Whether to record what each stage of the prefill saw; reading the sets back takes time on a GPU.</summary>
    public bool Tracing { get; init; }

    /// <summary>
    /// When the request reached its host, by <see cref="System.Diagnostics.Stopwatch.GetTimestamp"/>: its times and its time
    /// limit count from there. Null for the moment at which the scheduler takes it.
    /// </summary>
    public long? Arrival { get; init; }

    /// <summary>What metrics and traces call the operation: a value of OpenTelemetry's <c>gen_ai.operation.name</c>.</summary>
    public string Operation { get; init; } = "text_completion";

    /// <summary>
    /// What metrics and traces call the model; null for its folder's name. One of few: every name makes time series of its
    /// own, so never a text that a caller chose.
    /// </summary>
    public string? Model { get; init; }
}
