using System.Diagnostics;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Evaluation.Speed;

/// <summary>
/// Whole runs of a model on its device, timed: prompts of random tokens, their first token and those after it, under
/// several schedules in turns. Schedules are compared within a round, so that a machine that slows down slows all alike.
/// </summary>
/// <param name="engine">The model.</param>
/// <param name="options">What to run.</param>
public sealed class SpeedBenchmark(LlamaEngine engine, SpeedOptions options)
{
    private readonly Dictionary<SpeedCase, List<SpeedSample>> _samples = [];
    private readonly Dictionary<SpeedCase, RunStatistics> _counts = [];
    private readonly SamplingOptions _sampling = new() { MaxTokens = options.DecodeTokens + 1, IgnoreEndTokens = true };

    // The dense model first: what the others are held against.
    private readonly PruningSchedule[] _schedules = [.. options.Schedules.Prepend(PruningSchedule.None).Distinct()];

    /// <summary>Runs everything.</summary>
    /// <param name="progress">Told before each run.</param>
    /// <param name="cancellation">Ends it within a layer.</param>
    /// <returns>By batch and length, the dense model first.</returns>
    /// <exception cref="Native.Errors.LazyLlmException">An option does not fit the model, or the device failed.</exception>
    public async Task<IReadOnlyList<SpeedResult>> RunAsync(IProgress<SpeedProgress>? progress, CancellationToken cancellation)
    {
        options.Validate(engine);
        if (options.Profiled != ProfiledPart.None)
        {
            // Refuses a device without a profiler before anything has run in vain.
            using var range = ProfilerRange.Open(engine);
        }

        int total = options.Batches.Count * options.Lengths.Count * _schedules.Length * (options.WarmUps + options.Rounds);
        int done = 0;
        var results = new List<SpeedResult>();
        foreach (int batch in options.Batches)
        {
            foreach (int length in options.Lengths)
            {
                int[][] prompts = [.. Enumerable.Range(0, batch).Select(sequence => Prompt(length, sequence))];
                for (int round = -options.WarmUps; round < options.Rounds; round++)
                {
                    foreach (PruningSchedule schedule in round % 2 == 0 ? _schedules : _schedules.Reverse())
                    {
                        var measured = new SpeedCase(batch, length, schedule);
                        progress?.Report(new SpeedProgress(done++, total, measured));
                        ProfiledPart profiled = round < 0 ? ProfiledPart.None : options.Profiled;
                        SpeedSample sample = batch == 1
                            ? await RunOneAsync(measured, prompts[0], profiled, cancellation).ConfigureAwait(false)
                            : await RunSeveralAsync(measured, prompts, profiled, cancellation).ConfigureAwait(false);
                        if (round >= 0)
                        {
                            Note(measured, sample);
                        }
                    }
                }

                results.AddRange(_schedules.Select(schedule => Result(new SpeedCase(batch, length, schedule))));
            }
        }

        return results;
    }

    /// <summary>One sequence in a session of its own.</summary>
    private async Task<SpeedSample> RunOneAsync(SpeedCase measured, int[] prompt, ProfiledPart profiled, CancellationToken cancellation)
    {
        using Session session = engine.CreateSession(measured.Schedule);
        session.Append(prompt);
        var steps = new List<double>(options.DecodeTokens);
        ProfilerRange? range = profiled is ProfiledPart.All or ProfiledPart.Prefill ? ProfilerRange.Open(engine) : null;
        try
        {
            int tokens = 0;
            long last = 0;
            TimeSpan first = TimeSpan.Zero;
            await foreach (GeneratedToken _ in session.GenerateAsync(_sampling, cancellation).ConfigureAwait(false))
            {
                long now = Stopwatch.GetTimestamp();
                if (tokens == 0)
                {
                    _counts[measured] = session.Statistics;
                    first = session.Statistics.TimeToFirstToken;
                }
                else if (tokens > options.UncountedTokens)
                {
                    steps.Add(Stopwatch.GetElapsedTime(last, now).TotalSeconds);
                }

                if (tokens == 0 && profiled == ProfiledPart.Prefill)
                {
                    range?.Dispose();
                }

                if (tokens == options.UncountedTokens && profiled == ProfiledPart.Decode)
                {
                    range = ProfilerRange.Open(engine);
                }

                tokens++;
                last = Stopwatch.GetTimestamp();
            }

            TimeSpan perToken = TimeSpan.FromSeconds(steps.Count == 0 ? 0 : Median.Of(steps));
            return new SpeedSample(first, first, perToken, session.Statistics.TotalTime);
        }
        finally
        {
            range?.Dispose();
        }
    }

    /// <summary>Several sequences at a time, through the scheduler.</summary>
    private async Task<SpeedSample> RunSeveralAsync(SpeedCase measured, int[][] prompts, ProfiledPart profiled, CancellationToken cancellation)
    {
        using var scheduler = new Scheduler(engine, new SchedulerOptions { QueueLimit = prompts.Length, RunningLimit = prompts.Length });
        using ProfilerRange? range = profiled == ProfiledPart.All ? ProfilerRange.Open(engine) : null;
        long start = Stopwatch.GetTimestamp();
        ScheduledAnswer[] answers = [.. prompts.Select(prompt => scheduler.Submit(
            new GenerationRequest { Tokens = prompt, Schedule = measured.Schedule, Sampling = _sampling }, cancellation))];
        await Task.WhenAll(answers.Select(answer => ReadAsync(answer, cancellation))).ConfigureAwait(false);
        TimeSpan total = Stopwatch.GetElapsedTime(start);
        RunStatistics[] runs = [.. answers.Select(answer => answer.Statistics!)];
        _counts[measured] = runs[0];
        return new SpeedSample(
            Middle(runs.Select(run => run.TimeToFirstToken)),
            runs.Max(run => run.TimeToFirstToken),
            Middle(runs.Select(run => run.TimePerOutputToken)),
            total);

        static TimeSpan Middle(IEnumerable<TimeSpan> times) => TimeSpan.FromSeconds(Median.Of(times.Select(time => time.TotalSeconds)));
    }

    private static async Task ReadAsync(ScheduledAnswer answer, CancellationToken cancellation)
    {
        await foreach (GeneratedToken _ in answer.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            // The scheduler keeps the times.
        }
    }

    private void Note(SpeedCase measured, SpeedSample sample)
    {
        if (!_samples.TryGetValue(measured, out List<SpeedSample>? samples))
        {
            _samples[measured] = samples = [];
        }

        samples.Add(sample);
    }

    private SpeedResult Result(SpeedCase measured)
    {
        StagePlan dense = PruningSchedule.None.PlanFor(engine.Config.LayerCount);
        StagePlan plan = measured.Schedule.PlanFor(engine.Config.LayerCount);
        double predicted = OperationCount.Prefill(engine.Config, dense, measured.Length) / OperationCount.Prefill(engine.Config, plan, measured.Length);
        return new SpeedResult(measured, _samples[measured], _samples[measured with { Schedule = PruningSchedule.None }], _counts[measured], options.DecodeTokens + 1, predicted);
    }

    private int[] Prompt(int length, int sequence)
    {
        var random = new SplitMix64(options.Seed + (ulong)sequence);
        int[] tokens = new int[length];
        for (int i = 0; i < length; i++)
        {
            tokens[i] = random.Below(engine.Config.VocabularySize);
        }

        return tokens;
    }
}
