using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Server;

namespace LazyLlm.Bench;

/// <summary>
/// <c>bench server</c>: what a lone request takes through the server (HTTP over the loopback, streamed) and through the
/// scheduler, against a session of the same engine. All begin with the prompt's text and end at its reader; they run in turns
/// in one process, in another order each time. Figures are medians, differences and ratios medians of each turn's.
/// </summary>
internal sealed class ServerBenchmark(LlamaEngine engine, Scheduler scheduler, HttpClient client, RecallTask task, PruningSchedule schedule, int length, int tokens)
{
    private const int TurnsPerRound = 10;

    private readonly Samples _samples = new();

    /// <summary>Runs the benchmark; see the usage in Program.cs.</summary>
    public static async Task<int> RunAsync(string[] arguments)
    {
        string Option(string name, string otherwise) => Array.IndexOf(arguments, name) is >= 0 and int i ? arguments[i + 1] : otherwise;
        string words = Path.Combine(AppContext.BaseDirectory, "demo");
        int length = int.Parse(Option("--length", "256"));
        int rounds = int.Parse(Option("--rounds", "5"));
        PruningSchedule schedule = PruningSchedule.Parse(Option("--prune", "none"));
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Option("--model", "models/demo"), new EngineOptions
        {
            Device = Option("--device", "cpu"),
            Threads = int.Parse(Option("--threads", Environment.ProcessorCount.ToString())),
        });
        await using LlamaServer server = await LlamaServer.StartAsync(engine, new LlamaServerOptions { Pruning = schedule });
        using var client = new HttpClient { BaseAddress = server.Address };
        RecallTask task = RecallTask.Load(words, sentence => engine.RequireTokenizer().EncodeContinuation(" " + sentence).Length);
        var benchmark = new ServerBenchmark(engine, server.Scheduler, client, task, schedule, length, int.Parse(Option("--tokens", "64")));
        Console.WriteLine($"{engine.DeviceName}, {engine.WeightBytes / 1e6:F0} MB of weights, prompts of {length} tokens, {schedule}, {rounds} rounds of {TurnsPerRound} turns");
        for (int round = -1; round < rounds; round++)
        {
            for (int turn = 0; turn < TurnsPerRound; turn++)
            {
                await benchmark.TurnAsync((round * TurnsPerRound) + turn);
            }

            if (round < 0)
            {
                // Warm-up: caches grow, code is compiled.
                benchmark._samples.Clear();
            }
        }

        benchmark._samples.Report(Option("--json", "bench-server.json"));
        return 0;
    }

    /// <summary>One document, asked about in each of the ways.</summary>
    private async Task TurnAsync(int turn)
    {
        RecallDocument document = task.CreateDocument(new RecallDocumentOptions { TokenLength = length, Seed = (ulong)(turn + TurnsPerRound), QuestionCount = 1 });
        string text = document.Prompt();
        string[] names = ["session", "scheduler", "server"];
        Func<IAsyncEnumerable<bool>>[] ways = [() => Session(text), () => Scheduled(text), () => Served(text)];
        for (int i = 0; i < ways.Length; i++)
        {
            int way = (i + turn + TurnsPerRound) % ways.Length;
            await TimeAsync(names[way], ways[way]());
        }

        foreach (string name in names[1..])
        {
            _samples.Note($"TTFT: {name} - session, ms", _samples.Latest($"TTFT: {name}, ms") - _samples.Latest("TTFT: session, ms"));
            _samples.Note($"decode: {name} / session, tokens/s", _samples.Latest("decode: session, ms") / _samples.Latest($"decode: {name}, ms"));
        }
    }

    /// <summary>As its caller sees it: what comes first, and what comes after it.</summary>
    private async Task TimeAsync(string name, IAsyncEnumerable<bool> answer)
    {
        long start = Stopwatch.GetTimestamp();
        long first = 0;
        await foreach (bool _ in answer)
        {
            first = first == 0 ? Stopwatch.GetTimestamp() : first;
        }

        _samples.Note($"TTFT: {name}, ms", Stopwatch.GetElapsedTime(start, first).TotalMilliseconds);
        _samples.Note($"decode: {name}, ms", Stopwatch.GetElapsedTime(first).TotalMilliseconds / (tokens - 1));
    }

    private async IAsyncEnumerable<bool> Session(string text)
    {
        using Session session = engine.CreateSession(schedule);
        await foreach (GeneratedToken _ in session.GenerateAsync(text, Sampling()))
        {
            yield return true;
        }
    }

    private async IAsyncEnumerable<bool> Scheduled(string text)
    {
        var request = new GenerationRequest { Tokens = engine.RequireTokenizer().Encode(text), Schedule = schedule, Sampling = Sampling() };
        await foreach (GeneratedToken _ in scheduler.Submit(request).ReadAllAsync())
        {
            yield return true;
        }
    }

    /// <summary>The events of a stream, its end included.</summary>
    private async IAsyncEnumerable<bool> Served(string text)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, object> { ["prompt"] = text, ["max_tokens"] = tokens, ["ignore_eos"] = true, ["stream"] = true });
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions") { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(), Encoding.UTF8);
        while (await reader.ReadLineAsync() is string line)
        {
            if (line.Length > 0)
            {
                yield return true;
            }
        }
    }

    private SamplingOptions Sampling() => new() { MaxTokens = tokens, IgnoreEndTokens = true };
}
