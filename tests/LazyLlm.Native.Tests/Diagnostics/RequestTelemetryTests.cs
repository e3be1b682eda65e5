using System.Diagnostics;
using System.Diagnostics.Metrics;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Diagnostics;

public sealed class RequestTelemetryTests : IAsyncLifetime
{
    // Every test names its model itself, so that it can tell its measurements from those of tests beside it.
    private readonly string _model = $"model-{Guid.NewGuid():N}";
    private LlamaEngine _engine = null!;

    public async ValueTask InitializeAsync() => _engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });

    public ValueTask DisposeAsync()
    {
        _engine.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData("none", "dense")]
    [InlineData("4:0.1", "pruned")]
    public async Task A_finished_request_is_measured_once_from_its_arrival_on(string schedule, string pruning)
    {
        using var measurements = new Measurements(_model);
        using var scheduler = new Scheduler(_engine);
        var wait = TimeSpan.FromMilliseconds(250);
        ScheduledAnswer answer = scheduler.Submit(Request(schedule, tokens: 5) with { Arrival = Stopwatch.GetTimestamp() - (long)(wait.TotalSeconds * Stopwatch.Frequency), Operation = "chat" });
        await Read(answer);

        RunStatistics run = answer.Statistics!;
        Measurement first = measurements.Single("gen_ai.server.time_to_first_token");
        Assert.Equal(answer.TimeToFirstToken.TotalSeconds, first.Value);
        Assert.True(first.Value >= wait.TotalSeconds, "TTFT counts from the arrival that the host named.");
        Assert.Equal(run.TimePerOutputToken.TotalSeconds, measurements.Single("gen_ai.server.time_per_output_token").Value);
        Measurement duration = measurements.Single("gen_ai.server.request.duration");
        Assert.True(duration.Value >= run.TotalTime.TotalSeconds);
        Assert.Equal(answer.QueueTime.TotalSeconds, measurements.Single("lazyllm.queue.duration").Value);
        Assert.True(answer.QueueTime < wait, "Time before the scheduler took the request is not time in its queue.");
        Measurement end = measurements.Single("lazyllm.requests.ended");
        Assert.Equal(1, end.Value);
        Assert.Equal("length", end.Tags["lazyllm.outcome"]);
        foreach (Measurement measurement in new[] { first, duration, end })
        {
            Assert.Equal("chat", measurement.Tags["gen_ai.operation.name"]);
            Assert.Equal("lazyllm", measurement.Tags["gen_ai.provider.name"]);
            Assert.Equal(_model, measurement.Tags["gen_ai.request.model"]);
            Assert.Equal(pruning, measurement.Tags["lazyllm.pruning"]);
            Assert.False(measurement.Tags.ContainsKey("error.type"));
        }
    }

    [Fact]
    public async Task A_request_that_ends_early_tells_why_and_has_no_time_per_token()
    {
        using var measurements = new Measurements(_model);
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 1, UnreadLimit = 1 });
        ScheduledAnswer holder = scheduler.Submit(Request("none", tokens: 100));
        ScheduledAnswer late = scheduler.Submit(Request("none", tokens: 5) with { TimeLimit = TimeSpan.FromMilliseconds(30) });
        await Assert.ThrowsAsync<TimeLimitException>(() => Read(late));
        await holder.DisposeAsync();
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request("none", tokens: 5) with { Tokens = new int[] { -1 } }));

        Assert.Equal(["refused", "cancelled", "timeout"], measurements.All("lazyllm.requests.ended").Select(m => (string)m.Tags["lazyllm.outcome"]!).OrderByDescending(o => o == "refused").ThenBy(o => o));
        Assert.Equal(
            ["LazyLlm.Native.Errors.InvalidOptionException", "cancelled", "timeout"],
            measurements.All("lazyllm.requests.ended").Select(m => (string)m.Tags["error.type"]!).OrderBy(o => o, StringComparer.Ordinal));
        Assert.Equal(["cancelled", "timeout"], measurements.All("gen_ai.server.request.duration").Select(m => (string)m.Tags["error.type"]!).OrderBy(o => o));
        Assert.Empty(measurements.All("gen_ai.server.time_per_output_token"));

        // The one that never left the queue has waited, but was not admitted.
        Assert.Single(measurements.All("lazyllm.queue.duration"));
    }

    [Fact]
    public async Task Every_answer_is_told_of_once_with_its_figures()
    {
        using var scheduler = new Scheduler(_engine);
        var told = new List<ScheduledAnswer>();
        scheduler.Ended += told.Add;
        ScheduledAnswer finished = scheduler.Submit(Request("4:0.1", tokens: 3));
        await Read(finished);
        ScheduledAnswer cancelled = scheduler.Submit(Request("none", tokens: 1_000));
        await cancelled.DisposeAsync();

        Assert.Equal([finished, cancelled], told);
        Assert.Equal((FinishReason.Length, null), (finished.Finish, finished.Failure));
        Assert.NotNull(finished.Statistics);
        Assert.Equal(FinishReason.None, cancelled.Finish);
        Assert.IsAssignableFrom<OperationCanceledException>(cancelled.Failure);
    }

    [Fact]
    public async Task A_span_follows_a_request_under_its_callers_span()
    {
        using var spans = new Spans(_model);
        using var scheduler = new Scheduler(_engine);
        using var caller = new Activity("caller");
        caller.Start();
        ScheduledAnswer answer = scheduler.Submit(Request("4:0.1", tokens: 4) with { Operation = "chat" });
        Assert.Same(caller, Activity.Current);
        await Read(answer);
        caller.Stop();

        Activity span = Assert.Single(spans.Stopped);
        Assert.Equal($"chat {_model}", span.DisplayName);
        Assert.Equal(caller.SpanId, span.ParentSpanId);
        Assert.Equal(["lazyllm.queue", "lazyllm.prefill", "lazyllm.decode", "lazyllm.first_token"], span.Events.Select(e => e.Name));
        Assert.True(span.Events.Zip(span.Events.Skip(1)).All(pair => pair.First.Timestamp <= pair.Second.Timestamp));
        Assert.Equal(ActivityStatusCode.Unset, span.Status);
        Assert.Equal("lazyllm", span.GetTagItem("gen_ai.provider.name"));
        Assert.Equal("4:0.1", span.GetTagItem("lazyllm.pruning.schedule"));
        Assert.Equal(40, span.GetTagItem("gen_ai.usage.input_tokens"));
        Assert.Equal(4, span.GetTagItem("gen_ai.usage.output_tokens"));
        Assert.Equal(4, span.GetTagItem("gen_ai.request.max_tokens"));
        Assert.Equal(["length"], (string[])span.GetTagItem("gen_ai.response.finish_reasons")!);
        Assert.Equal(answer.Statistics!.ComputedShare, span.GetTagItem("lazyllm.computed_share"));
    }

    [Fact]
    public async Task A_span_of_a_failed_request_says_so_and_the_next_one_is_no_child_of_it()
    {
        using var spans = new Spans(_model);
        using var scheduler = new Scheduler(_engine);
        ScheduledAnswer cancelled = scheduler.Submit(Request("none", tokens: 1_000));
        await cancelled.DisposeAsync();
        await Read(scheduler.Submit(Request("none", tokens: 2)));

        Assert.Equal(2, spans.Stopped.Count);
        Activity failed = spans.Stopped[0];
        Assert.Equal(ActivityStatusCode.Error, failed.Status);
        Assert.Equal("cancelled", failed.GetTagItem("error.type"));
        Assert.Null(failed.GetTagItem("gen_ai.response.finish_reasons"));
        Assert.Equal(default, spans.Stopped[1].ParentSpanId);
    }

    private GenerationRequest Request(string schedule, int tokens) => new()
    {
        Tokens = Enumerable.Range(0, 40).Select(i => 5 + (i * 7 % 90)).ToArray(),
        Schedule = PruningSchedule.Parse(schedule),
        Sampling = new SamplingOptions { MaxTokens = tokens, IgnoreEndTokens = true },
        Model = _model,
    };

    private static async Task Read(ScheduledAnswer answer)
    {
        await foreach (GeneratedToken token in answer.ReadAllAsync())
        {
            Assert.True(token.Id >= 0);
        }

        await answer.DisposeAsync();
    }

    private sealed record Measurement(string Instrument, double Value, Dictionary<string, object?> Tags);

    private sealed class Measurements : IDisposable
    {
        private readonly List<Measurement> _all = [];
        private readonly MeterListener _listener = new();

        public Measurements(string model)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == EngineMetrics.MeterName)
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.Start();

            void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
            {
                var named = new Dictionary<string, object?>(tags.ToArray());
                if (Equals(named.GetValueOrDefault("gen_ai.request.model"), model))
                {
                    lock (_all)
                    {
                        _all.Add(new Measurement(instrument.Name, value, named));
                    }
                }
            }
        }

        public Measurement Single(string instrument) => Assert.Single(All(instrument));

        public Measurement[] All(string instrument)
        {
            lock (_all)
            {
                return [.. _all.Where(m => m.Instrument == instrument)];
            }
        }

        public void Dispose() => _listener.Dispose();
    }

    private sealed class Spans : IDisposable
    {
        private readonly ActivityListener _listener;

        public Spans(string model)
        {
            _listener = new ActivityListener
            {
                ShouldListenTo = source => source.Name == EngineMetrics.MeterName,
                Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
                ActivityStopped = activity =>
                {
                    if (Equals(activity.GetTagItem("gen_ai.request.model"), model))
                    {
                        Stopped.Add(activity);
                    }
                },
            };
            ActivitySource.AddActivityListener(_listener);
        }

        public List<Activity> Stopped { get; } = [];

        public void Dispose() => _listener.Dispose();
    }
}
