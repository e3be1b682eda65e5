using System.Diagnostics;
using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Scheduling;

/// <summary>What tests of the scheduler share: requests to a small model, their answers alone, and random mixes of them.</summary>
internal static class SchedulerCases
{
    /// <summary>Six layers; few enough for a stand-in GPU and for a build without optimisation.</summary>
    public static readonly string Model = RepositoryFiles.Golden("models", "tiny-mha");

    /// <summary>Schedules of every kind for it, dense among them.</summary>
    public static readonly string[] Schedules = ["none", "2:0.3", "2:0.6,4:0.3", "3:0.2;recent=4;pool=3", "2:0.6;mass=0.9", "2:0.5;revive=no"];

    private const int Vocabulary = 160;

    /// <summary>The model on the CPU, every operation told of.</summary>
    public static (LlamaEngine Engine, ObservedOperations Operations) Observed()
    {
        using ModelFolder folder = ModelFolder.Open(Model);
        var operations = new ObservedOperations(CpuOperations.Load(folder.Weights, folder.Config.ContextLength, null, CancellationToken.None, threadCount: 1));
        return (new LlamaEngine(folder, null, operations, folder.Config.ContextLength), operations);
    }

    /// <summary>A request with a random prompt: greedy for even seeds, sampled for odd ones.</summary>
    public static GenerationRequest Request(int length, string schedule, int tokens, int seed = 0)
    {
        var random = new Random(seed + length);
        return new GenerationRequest
        {
            Tokens = Enumerable.Range(0, length).Select(i => i == 0 ? 1 : random.Next(3, Vocabulary)).ToArray(),
            Schedule = PruningSchedule.Parse(schedule),
            Sampling = new SamplingOptions { Temperature = seed % 2, Seed = (ulong)seed, MaxTokens = tokens, IgnoreEndTokens = true },
        };
    }

    /// <summary>An answer to its end.</summary>
    public static async Task<GeneratedToken[]> Read(ScheduledAnswer answer)
    {
        var tokens = new List<GeneratedToken>();
        await foreach (GeneratedToken token in answer.ReadAllAsync())
        {
            tokens.Add(token);
        }

        return [.. tokens];
    }

    /// <summary>What a session of its own gives, the shared prefix as a turn of its own.</summary>
    public static GeneratedToken[] Alone(LlamaEngine engine, GenerationRequest request)
    {
        using Session session = engine.CreateSession(request.Schedule);
        ReadOnlySpan<int> prompt = request.Tokens.Span;
        if (request.SharedPrefix > 0)
        {
            session.Step(prompt[..request.SharedPrefix]);
        }

        session.Append(prompt[request.SharedPrefix..]);
        return [.. session.GenerateAsync(request.Sampling).ToBlockingEnumerable()];
    }

    /// <summary>Waits for what another thread brings about, and goes on being so; two minutes at most.</summary>
    public static async Task Until(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(2), "What was waited for did not come about.");
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Nobody waits or runs, and nothing is held or promised but what saved prefixes take.</summary>
    public static void AssertEmpty(Scheduler scheduler)
    {
        SchedulerStatus status = scheduler.Status;
        Assert.Equal((0, 0), (status.Waiting, status.Running));
        Assert.Equal(status.MemoryInUse, status.MemoryPromised);
        if (status.SavedPrefixes == 0)
        {
            Assert.Equal((0L, 0L, 0L), (status.MemoryInUse, status.KeyValueBytes, status.AuxBytes));
        }
    }

    /// <summary>
    /// Random requests from several callers at once: long and short, every schedule, greedy and sampled, with shared
    /// prefixes, slow readers, and callers who leave while they wait, during the prompt and in the answer. What is finished is
    /// what each gives alone, what was left is the beginning of it, and all memory is back.
    /// </summary>
    public static async Task RandomMix(LlamaEngine engine, int seed, int count, int longestPrompt, int longestAnswer)
    {
        var random = new Random(seed);
        using var scheduler = new Scheduler(engine, new SchedulerOptions { QueueLimit = count, RunningLimit = 5, UnreadLimit = 4, PrefixBudget = 24L << 20 });
        (GenerationRequest Request, int? LeaveAfter)[] mix = [.. Enumerable.Range(0, count).Select(Draw)];
        GeneratedToken[][] alone = [.. mix.Select(m => Alone(engine, m.Request))];
        int finished = 0;
        await Task.WhenAll(mix.Select(async (m, i) =>
        {
            using var leaving = new CancellationTokenSource();
            await using ScheduledAnswer answer = scheduler.Submit(m.Request, leaving.Token);
            var tokens = new List<GeneratedToken>();
            try
            {
                if (m.LeaveAfter < 0)
                {
                    // While it waits or its prompt is computed.
                    await Until(() => answer.PrefillLayers >= -1 - m.LeaveAfter || answer.State == RequestState.Ended);
                    await leaving.CancelAsync();
                }

                await foreach (GeneratedToken token in answer.ReadAllAsync())
                {
                    tokens.Add(token);
                    if (tokens.Count == m.LeaveAfter)
                    {
                        await leaving.CancelAsync();
                    }
                    else if (i % 7 == 3)
                    {
                        await Task.Delay(2);
                    }
                }

                Assert.Equal(alone[i], tokens);
                Interlocked.Increment(ref finished);
            }
            catch (OperationCanceledException) when (leaving.IsCancellationRequested)
            {
                Assert.Equal(alone[i].Take(tokens.Count), tokens);
            }
        }));
        Assert.InRange(finished, count / 3, count);
        AssertEmpty(scheduler);
        await scheduler.StopAsync();
        Assert.Equal((0L, 0L, 0), (scheduler.Status.MemoryInUse, scheduler.Status.MemoryPromised, scheduler.Status.SavedPrefixes));

        (GenerationRequest Request, int? LeaveAfter) Draw(int i)
        {
            bool isShared = random.Next(3) == 0;
            string schedule = Schedules[random.Next(Schedules.Length)];
            GenerationRequest request = Request(1 + random.Next(longestPrompt), schedule, 1 + random.Next(longestAnswer), random.Next(1000));
            if (isShared)
            {
                int[] document = Request(longestPrompt / 2, schedule, 1, random.Next(2)).Tokens.ToArray();
                request = request with { Tokens = (int[])[.. document, .. request.Tokens.Span], SharedPrefix = document.Length };
            }

            return (request, random.Next(3) == 0 ? random.Next(-6, 6) : null);
        }
    }

    /// <summary>
    /// Four requests in company while something fails: each gives what it gives alone, or ends with an error of the device
    /// that lets it go on.
    /// </summary>
    /// <returns>How many failed.</returns>
    public static async Task<int> RunWhileFailing(Scheduler scheduler, GenerationRequest[] requests, GeneratedToken[][] alone)
    {
        int failures = 0;
        await Task.WhenAll(requests.Select(async (request, i) =>
        {
            try
            {
                Assert.Equal(alone[i], await Read(scheduler.Submit(request)));
            }
            catch (DeviceException error)
            {
                Assert.IsNotType<DeviceLostException>(error);
                Interlocked.Increment(ref failures);
            }
        }));
        AssertEmpty(scheduler);
        return failures;
    }
}
