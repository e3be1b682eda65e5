using System.Diagnostics.Metrics;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

/// <summary>Memory is counted for the whole process, so these tests run while no others do.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class LifetimeTests
{
    private static readonly EngineOptions Cpu = new() { Device = "cpu" };

    private static string Model => RepositoryFiles.Golden("models", "tiny-mha");

    [Fact]
    public async Task An_engine_may_be_disposed_before_its_sessions()
    {
        LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        Session session = engine.CreateSession();
        engine.Dispose();
        engine.Dispose();
        Assert.NotEmpty(session.Step([1, 2, 3]).ToArray());
        Assert.Throws<ObjectDisposedException>(() => engine.CreateSession());
        Session fork = session.Fork();
        Assert.Equal(session.Step([4]).ToArray(), fork.Step([4]).ToArray());
        session.Dispose();
        session.Dispose();
        Assert.NotEmpty(fork.Step([5]).ToArray());
        fork.Dispose();
        Assert.Throws<ObjectDisposedException>(() => { session.Step([1]); });
        Assert.Throws<ObjectDisposedException>(() => session.Fork());
        Assert.Throws<ObjectDisposedException>(session.Reset);
        Assert.Throws<ObjectDisposedException>(() => session.Append([1]));
    }

    [Fact]
    public async Task A_session_disposed_in_the_middle_of_a_step_finishes_it_and_frees_its_memory()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        Session session = engine.CreateSession();
        session.PrefillProgress = new DisposeInside(session);
        Assert.NotEmpty(session.Step([1, 2, 3]).ToArray());
        Assert.Throws<ObjectDisposedException>(() => { session.Step([1]); });
    }

    [Fact]
    public async Task A_session_disposed_while_it_generates_ends_the_generation_with_an_error()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        Session session = engine.CreateSession();
        session.Append([1, 2, 3]);
        await Assert.ThrowsAsync<ObjectDisposedException>(async () =>
        {
            await foreach (GeneratedToken token in session.GenerateAsync(new SamplingOptions { IgnoreEndTokens = true }))
            {
                session.Dispose();
            }
        });
    }

    [Fact]
    public async Task A_thousand_sessions_leave_memory_as_it_was()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        var schedule = PruningSchedule.Parse("2:0.5,4:0.25");
        int[] prompt = [.. Enumerable.Range(1, 64)];
        RunSessions(engine, schedule, prompt, 50);
        long before = Settled();
        RunSessions(engine, schedule, prompt, 1000);
        long after = Settled();
        Assert.InRange(after - before, long.MinValue, 4 << 20);
    }

    [Fact]
    public async Task Decoding_allocates_nothing_per_token_in_the_layer_loop()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu with { Threads = 1 });
        using Session session = engine.CreateSession(PruningSchedule.Parse("2:0.5,4:0.25"));
        session.Step([.. Enumerable.Range(1, 100)]);
        int[] token = [7];
        for (int i = 0; i < 160; i++)
        {
            session.Step(token);
        }

        // Caches and the history grow by half again or more: between two growths, steps are free of allocations.
        long least = long.MaxValue;
        for (int i = 0; i < 40; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            session.Step(token);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public async Task A_session_that_nobody_disposes_does_not_stop_the_others()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        Abandon(engine);
        Settled();
        using Session session = engine.CreateSession();
        Assert.NotEmpty(session.Step([1]).ToArray());

        static void Abandon(LlamaEngine engine) => engine.CreateSession().Step([1, 2]);
    }

    [Fact]
    public async Task Runs_and_caches_are_measured()
    {
        var totals = new Dictionary<string, double>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == EngineMetrics.MeterName)
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => Add(instrument.Name, value));
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => Add(instrument.Name, value));
        listener.Start();
        using (LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, Cpu))
        using (Session session = engine.CreateSession(PruningSchedule.Parse("4:0.1")))
        {
            await foreach (GeneratedToken token in session.GenerateAsync("The old fox sleeps near the mill. Question:", new SamplingOptions { MaxTokens = 3, IgnoreEndTokens = true }))
            {
                Assert.True(token.Id >= 0);
            }

            // Other tests of this process report to the same meter, so the totals are at least what this run adds.
            RunStatistics run = session.Statistics;
            Assert.True(totals["lazyllm.time_to_first_token"] >= run.TimeToFirstToken.TotalSeconds);
            Assert.True(totals["lazyllm.generated_tokens"] >= 3);
            Assert.True(totals["lazyllm.computed_pairs"] >= run.ComputedPairs);
            Assert.True(totals["lazyllm.dense_pairs"] >= run.DensePairs);
            Assert.True(totals.ContainsKey("lazyllm.kv_cache.bytes"));
        }

        void Add(string name, double value)
        {
            lock (totals)
            {
                totals[name] = totals.GetValueOrDefault(name) + value;
            }
        }
    }

    [Theory]
    [InlineData("gpu")]
    [InlineData("cuda:x")]
    [InlineData("")]
    [InlineData("cpu:1")]
    public async Task A_device_that_is_none_is_named(string device)
    {
        var error = await Assert.ThrowsAsync<InvalidOptionException>(() => LlamaEngine.LoadAsync(Model, new EngineOptions { Device = device }));
        Assert.Contains($"'{device}'", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(2049)]
    public async Task A_context_that_the_model_cannot_have_is_refused(int length) =>
        Assert.Contains("2048", (await Assert.ThrowsAsync<InvalidOptionException>(() => LlamaEngine.LoadAsync(Model, Cpu with { ContextLength = length }))).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("tokenizer.json", "{}", "tokenizer.model")]
    [InlineData("tokenizer_config.json", """{"tokenizer_class":"XgenTokenizer"}""", "gpt2.tiktoken")]
    public async Task A_model_whose_tokenizer_cannot_be_used_takes_tokens_and_says_of_text_what_is_missing(string file, string text, string missing)
    {
        using var scratch = new ScratchFolder();
        foreach (string path in Directory.GetFiles(Model))
        {
            File.Copy(path, scratch[Path.GetFileName(path)]);
        }

        File.WriteAllText(scratch[file], text);
        using LlamaEngine engine = await LlamaEngine.LoadAsync(scratch.Path, Cpu);
        using Session session = engine.CreateSession();
        Assert.NotEmpty(session.Step([1, 2]).ToArray());
        Assert.Contains(missing, Assert.Throws<InvalidOptionException>(() => session.Append("text")).Message, StringComparison.Ordinal);
        // A damaged one is an error, not an absence.
        File.WriteAllText(scratch["tokenizer.model"], "no model");
        await Assert.ThrowsAsync<ModelFormatException>(() => LlamaEngine.LoadAsync(scratch.Path, Cpu));
    }

    [Fact]
    public async Task Without_a_tokenizer_stop_strings_are_refused_by_name()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        using Session session = engine.CreateSession();
        session.Append([1, 2]);
        var stops = new SamplingOptions { StopStrings = ["x"] };
        Assert.Contains("StopStrings", Assert.Throws<InvalidOptionException>(() => session.GenerateAsync(stops)).Message, StringComparison.Ordinal);
        using var scheduler = new Scheduler(engine);
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(new GenerationRequest { Tokens = new[] { 1, 2 }, Sampling = stops }, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_model_without_a_tokenizer_takes_tokens_and_refuses_text()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        Assert.Null(engine.Tokenizer);
        using Session session = engine.CreateSession();
        Assert.Contains("tokenizer", Assert.Throws<InvalidOptionException>(() => session.Append("text")).Message, StringComparison.Ordinal);
        session.Append([1, 2]);
        await foreach (GeneratedToken token in session.GenerateAsync(new SamplingOptions { MaxTokens = 2, IgnoreEndTokens = true }))
        {
            Assert.Equal("", token.Text);
        }
    }

    [Fact]
    public async Task Loading_stops_where_it_is_cancelled_and_can_be_done_again()
    {
        using var cancellation = new CancellationTokenSource();
        var stop = new StopLoading(cancellation);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => LlamaEngine.LoadAsync(Model, Cpu, stop, cancellation.Token));
        Assert.InRange(stop.BytesRead, 1, stop.BytesTotal - 1);
        using LlamaEngine engine = await LlamaEngine.LoadAsync(Model, Cpu);
        Assert.InRange(engine.WeightBytes, stop.BytesTotal, stop.BytesTotal * 11 / 10);
    }

    [Theory]
    [InlineData(0xFF)]
    [InlineData(0x00)]
    public async Task Weights_that_are_no_numbers_or_all_zero_end_in_an_error_or_a_token_and_nothing_else(byte filling)
    {
        using var scratch = new ScratchFolder();
        File.Copy(Path.Combine(Model, "config.json"), scratch["config.json"]);
        byte[] weights = File.ReadAllBytes(Path.Combine(Model, "model.safetensors"));
        int data = 8 + (int)BitConverter.ToInt64(weights);
        weights.AsSpan(data).Fill(filling);
        File.WriteAllBytes(scratch["model.safetensors"], weights);
        using LlamaEngine engine = await LlamaEngine.LoadAsync(scratch.Path, Cpu);
        using Session session = engine.CreateSession(PruningSchedule.Parse("2:0.5"));
        session.Append([1, 2, 3, 4]);
        async Task Generate()
        {
            await foreach (GeneratedToken token in session.GenerateAsync(new SamplingOptions { MaxTokens = 3, IgnoreEndTokens = true }))
            {
                Assert.Equal(0, token.Id);
            }
        }

        if (filling == 0)
        {
            await Generate();
        }
        else
        {
            await Assert.ThrowsAsync<InvalidLogitsException>(Generate);
        }
    }

    private static void RunSessions(LlamaEngine engine, PruningSchedule schedule, int[] prompt, int count)
    {
        for (int i = 0; i < count; i++)
        {
            using Session session = engine.CreateSession(schedule);
            session.Step(prompt);
        }
    }

    private static long Settled()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        return GC.GetTotalMemory(forceFullCollection: true);
    }

    private sealed class StopLoading(CancellationTokenSource cancellation) : IProgress<LoadProgress>
    {
        public long BytesRead { get; private set; }

        public long BytesTotal { get; private set; }

        public void Report(LoadProgress value)
        {
            (BytesRead, BytesTotal) = (value.BytesRead, value.BytesTotal);
            cancellation.Cancel();
        }
    }

    private sealed class DisposeInside(Session session) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => session.Dispose();
    }
}
