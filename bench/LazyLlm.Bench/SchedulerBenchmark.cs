using System.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Testing;

namespace LazyLlm.Bench;

/// <summary>
/// <c>bench scheduler</c>: tokens per second of several concurrent answers against one, and what a request takes through
/// the scheduler against a session of its own. Whatever is compared runs in turns in one process; figures are medians over
/// the rounds, ratios medians of each round's ratio.
/// </summary>
internal sealed class SchedulerBenchmark(LlamaEngine engine, PruningSchedule schedule, int length, int tokens)
{
    private static readonly int[] Counts = [1, 2, 4, 8, 16];

    private readonly Samples _samples = new();

    /// <summary>Runs the benchmark; see the usage in Program.cs.</summary>
    public static int Run(string[] arguments)
    {
        string Option(string name, string otherwise) => Array.IndexOf(arguments, name) is >= 0 and int i ? arguments[i + 1] : otherwise;
        int rounds = int.Parse(Option("--rounds", "5"));
        string json = Option("--json", "bench-scheduler.json");
        string folder = Option("--model", "");
        DirectoryInfo? scratch = null;
        if (folder.Length == 0)
        {
            scratch = Directory.CreateTempSubdirectory("lazyllm-bench-");
            folder = scratch.FullName;
            Console.WriteLine("writing a random model ...");
            RandomModel.Write(folder, RandomModel.Shape(
                hiddenSize: 1024, layerCount: int.Parse(Option("--layers", "8")), headCount: 16, intermediateSize: 2816, vocabularySize: 32_000, contextLength: 4_096, type: TensorType.BFloat16));
        }

        try
        {
            using LlamaEngine engine = LlamaEngine.LoadAsync(folder, new EngineOptions
            {
                Device = Option("--device", "cpu"),
                Threads = int.Parse(Option("--threads", Environment.ProcessorCount.ToString())),
            }).GetAwaiter().GetResult();
            PruningSchedule schedule = PruningSchedule.Parse(Option("--prune", "none"));
            var benchmark = new SchedulerBenchmark(engine, schedule, int.Parse(Option("--length", "64")), int.Parse(Option("--tokens", "16")));
            Console.WriteLine($"{engine.DeviceName}, {engine.WeightBytes / 1e6:F0} MB of weights, prompts of {benchmark.Length} tokens, {schedule}, {rounds} rounds");
            benchmark.Measure(rounds);
            benchmark._samples.Report(json);
            return 0;
        }
        finally
        {
            scratch?.Delete(recursive: true);
        }
    }

    private int Length => length;

    private void Measure(int rounds)
    {
        using var scheduler = new Scheduler(engine, new SchedulerOptions { RunningLimit = Counts[^1], PrefillLimit = Counts[^1], UnreadLimit = 2 * tokens });
        for (int round = -1; round < rounds; round++)
        {
            foreach (int count in Counts)
            {
                _samples.Note($"{count} at once, tokens/s", Together(scheduler, count).GetAwaiter().GetResult());
                _samples.Note($"{count} at once / 1", _samples.Latest($"{count} at once, tokens/s") / _samples.Latest("1 at once, tokens/s"));
            }

            // In turns, several times a round: a first token takes a few milliseconds on a small model.
            for (int i = 0; i < 5; i++)
            {
                GenerationRequest request = Request(round + i, 2 * tokens);
                Run(request, "session", Session(request)).GetAwaiter().GetResult();
                Run(request, "scheduler", scheduler.Submit(request).ReadAllAsync()).GetAwaiter().GetResult();
                _samples.Note("TTFT: scheduler - session, ms", _samples.Latest("TTFT: scheduler, ms") - _samples.Latest("TTFT: session, ms"));
                _samples.Note("decode: scheduler / session, tokens/s", _samples.Latest("decode: session, ms") / _samples.Latest("decode: scheduler, ms"));
            }

            if (round < 0)
            {
                // Warm-up: caches grow, code is compiled.
                _samples.Clear();
            }
        }
    }

    /// <summary>Tokens per second while all of them decode.</summary>
    private async Task<double> Together(Scheduler scheduler, int count)
    {
        long[][] times = await Task.WhenAll(Enumerable.Range(0, count).Select(async i =>
        {
            var seen = new List<long>();
            await foreach (GeneratedToken _ in scheduler.Submit(Request(i, tokens + (2 * count))).ReadAllAsync())
            {
                seen.Add(Stopwatch.GetTimestamp());
            }

            return seen.ToArray();
        }));
        long start = times.Max(t => t[0]);
        long end = times.Min(t => t[^1]);
        return times.Sum(t => t.Count(x => x > start && x <= end)) / Stopwatch.GetElapsedTime(start, end).TotalSeconds;
    }

    private async IAsyncEnumerable<GeneratedToken> Session(GenerationRequest request)
    {
        using Session session = engine.CreateSession(request.Schedule);
        session.Append(request.Tokens.Span);
        await foreach (GeneratedToken token in session.GenerateAsync(request.Sampling))
        {
            yield return token;
        }
    }

    /// <summary>As its caller sees it.</summary>
    private async Task Run(GenerationRequest request, string name, IAsyncEnumerable<GeneratedToken> answer)
    {
        long start = Stopwatch.GetTimestamp();
        long first = 0;
        await foreach (GeneratedToken _ in answer)
        {
            first = first == 0 ? Stopwatch.GetTimestamp() : first;
        }

        _samples.Note($"TTFT: {name}, ms", Stopwatch.GetElapsedTime(start, first).TotalMilliseconds);
        _samples.Note($"decode: {name}, ms", Stopwatch.GetElapsedTime(first).TotalMilliseconds / (request.Sampling.MaxTokens!.Value - 1));
    }

    private GenerationRequest Request(int seed, int count)
    {
        var random = new Random(seed);
        return new GenerationRequest
        {
            Tokens = Enumerable.Range(0, length).Select(_ => random.Next(3, engine.Config.VocabularySize)).ToArray(),
            Schedule = schedule,
            Sampling = new SamplingOptions { Temperature = 0, MaxTokens = count, IgnoreEndTokens = true },
        };
    }
}
