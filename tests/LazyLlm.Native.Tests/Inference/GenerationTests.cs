using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

public sealed class GenerationTests : IAsyncLifetime
{
    /// <summary>The document of a golden case; the model was trained on such, and answers questions about it.</summary>
    private string _document = "";

    private const string FirstQuestion = "Question: Where does Priya keep the bottle? Answer:";

    private static readonly SamplingOptions ToFullStop = new() { StopStrings = ["."], MaxTokens = 8 };

    /// <summary>Every answer is one word, and every word one token.</summary>
    private static readonly SamplingOptions OneWord = new() { MaxTokens = 1 };

    private LlamaEngine _engine = null!;

    public async ValueTask InitializeAsync()
    {
        _engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        string prompt = _engine.Tokenizer!.Decode(GoldenCase.Load("demo-0").Prompt);
        _document = prompt[..prompt.IndexOf("Question:", StringComparison.Ordinal)];
    }

    public ValueTask DisposeAsync()
    {
        _engine.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData("none")]
    [InlineData("4:0.1")]
    [InlineData("paper")]
    public async Task The_demo_model_answers_and_answers_a_follow_up(string schedule)
    {
        using Session session = _engine.CreateSession(PruningSchedule.Parse(schedule));
        Assert.Equal(" hospital", await Text(session.GenerateAsync(_document + FirstQuestion, OneWord)));
        RunStatistics first = session.Statistics;
        Assert.True(first.TimeToFirstToken > TimeSpan.Zero);
        Assert.Equal(1, first.GeneratedTokens);
        Assert.Equal(first.PromptTokens, first.ContextTokens);
        Assert.Equal(schedule == "none", first.ComputedShare == 1);

        Assert.Equal(" temple", await Text(session.GenerateAsync(" Question: Where does Tessa keep the quilt? Answer:", OneWord)));
        Assert.Equal(schedule == "none" ? 0 : 1, Math.Sign(session.Statistics.Stages.Sum(s => s.Revived)));
    }

    [Fact]
    public async Task The_story_model_continues_its_start_token()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Shared("golden", "models", "stories260K"), new EngineOptions { Device = "cpu" });
        using Session session = engine.CreateSession();
        string text = await Text(session.GenerateAsync("", new SamplingOptions { MaxTokens = 120 }));
        Assert.StartsWith(
            "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.",
            text.TrimStart(),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_last_token_says_why_it_is_the_last()
    {
        Assert.Equal(FinishReason.Length, (await Tokens(new SamplingOptions { MaxTokens = 3, IgnoreEndTokens = true }))[^1].Finish);
        Assert.Equal(FinishReason.Stop, (await Tokens(ToFullStop))[^1].Finish);

        using LlamaEngine small = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu", ContextLength = 12 });
        using Session session = small.CreateSession();
        List<GeneratedToken> tokens = await List(session.GenerateAsync("The old fox sleeps near the mill.", new SamplingOptions { IgnoreEndTokens = true }));
        Assert.Equal(FinishReason.Context, tokens[^1].Finish);
        Assert.Equal(12, session.Length);
        await Assert.ThrowsAsync<ContextLengthException>(() => List(session.GenerateAsync(new SamplingOptions())));
    }

    [Fact]
    public void A_prompt_that_does_not_fit_is_refused_with_both_counts_before_anything_runs()
    {
        using Session session = _engine.CreateSession();
        int[] tokens = new int[session.ContextLength + 1];
        var error = Assert.Throws<ContextLengthException>(() => session.Append(tokens));
        Assert.Equal((session.ContextLength + 1, session.ContextLength), (error.Requested, error.Limit));
        Assert.Throws<ContextLengthException>(() => { session.Step(tokens); });
        Assert.Equal((0, 0), (session.Length, session.PendingTokens));
    }

    [Fact]
    public void A_prompt_of_exactly_the_context_gives_logits()
    {
        using Session session = _engine.CreateSession(PruningSchedule.Parse("1:0.05"));
        Assert.Equal(_engine.Config.VocabularySize, session.Step(new int[session.ContextLength]).Length);
        Assert.Throws<ContextLengthException>(() => { session.Step([1]); });
    }

    [Fact]
    public async Task Log_probabilities_are_those_of_the_logits()
    {
        using Session stepped = _engine.CreateSession();
        float[] logits = stepped.Step(_engine.Tokenizer!.Encode(_document)).ToArray();
        double expected = logits.Max() - Math.Log(logits.Sum(l => Math.Exp(l - logits.Max()))) - logits.Max();
        GeneratedToken first = (await Tokens(new SamplingOptions { MaxTokens = 1 }, _document))[0];
        Assert.Equal(Array.IndexOf(logits, logits.Max()), first.Id);
        Assert.Equal(expected, first.LogProbability, 4);
    }

    [Fact]
    public async Task The_same_seed_gives_the_same_text()
    {
        var options = new SamplingOptions { Temperature = 1.5f, TopK = 50, Seed = 7, MaxTokens = 24, IgnoreEndTokens = true };
        Assert.Equal((await Tokens(options)).Select(t => t.Id), (await Tokens(options)).Select(t => t.Id));
        Assert.NotEqual((await Tokens(options)).Select(t => t.Id), (await Tokens(options with { Seed = 8 })).Select(t => t.Id));
    }

    [Fact]
    public async Task Generation_can_go_on_from_a_step_of_the_hosts_own()
    {
        using Session session = _engine.CreateSession();
        session.Step(_engine.Tokenizer!.Encode(_document + FirstQuestion));
        Assert.Equal(" hospital", await Text(session.GenerateAsync(ToFullStop)));
    }

    [Fact]
    public async Task Nothing_to_go_on_from_is_said()
    {
        using Session session = _engine.CreateSession();
        Assert.Throws<InvalidOptionException>(() => { session.Step([]); });
        await Assert.ThrowsAsync<InvalidOptionException>(() => List(session.GenerateAsync()));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1536)]
    [InlineData(int.MaxValue)]
    [InlineData(int.MinValue)]
    public void A_token_outside_the_vocabulary_is_refused(int token)
    {
        using Session session = _engine.CreateSession();
        Assert.Contains("1535", Assert.Throws<InvalidOptionException>(() => { session.Step([1, token]); }).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOptionException>(() => session.Append([token]));
        Assert.Equal(0, session.Length);
    }

    [Fact]
    public async Task Cancelling_ends_a_generation_and_the_session_goes_on()
    {
        using Session session = _engine.CreateSession(PruningSchedule.Parse("4:0.1"));
        using var cancellation = new CancellationTokenSource();
        string prompt = _document + FirstQuestion;
        IAsyncEnumerable<GeneratedToken> cancelled = session.GenerateAsync(prompt, ToFullStop, cancellation.Token);
        session.PrefillProgress = new Callback(progress =>
        {
            if (progress.LayersDone == 6)
            {
                cancellation.Cancel();
            }
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => List(cancelled));
        session.PrefillProgress = null;
        Assert.Equal(0, session.Length);
        Assert.Equal(" hospital", await Text(session.GenerateAsync(OneWord)));
    }

    [Fact]
    public async Task A_cancelled_token_never_starts()
    {
        using Session session = _engine.CreateSession();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => List(session.GenerateAsync(_document, null, new CancellationToken(true))));
        Assert.Throws<OperationCanceledException>(() => { session.Step([1], new CancellationToken(true)); });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => LlamaEngine.LoadAsync(RepositoryFiles.Demo, cancellation: new CancellationToken(true)));
    }

    [Fact]
    public async Task A_second_generation_ends_the_first()
    {
        using Session session = _engine.CreateSession();
        await using IAsyncEnumerator<GeneratedToken> first = session.GenerateAsync(_document).GetAsyncEnumerator();
        Assert.True(await first.MoveNextAsync());
        Assert.NotEmpty(await List(session.GenerateAsync(ToFullStop)));
        await Assert.ThrowsAsync<SessionStateException>(async () => await first.MoveNextAsync());
    }

    [Fact]
    public async Task An_abandoned_enumerator_does_not_block_the_session()
    {
        using Session session = _engine.CreateSession();
        IAsyncEnumerator<GeneratedToken> abandoned = session.GenerateAsync(_document).GetAsyncEnumerator();
        Assert.True(await abandoned.MoveNextAsync());
        session.Reset();
        Assert.Equal(" hospital", await Text(session.GenerateAsync(_document + FirstQuestion, ToFullStop)));
    }

    [Fact]
    public void Two_callers_at_once_are_told_apart()
    {
        using Session session = _engine.CreateSession();
        SessionStateException? error = null;
        session.PrefillProgress = new Callback(_ => error ??= Assert.Throws<SessionStateException>(() => { session.Step([2]); }));
        session.Step([1, 2, 3]);
        Assert.NotNull(error);
        Assert.Equal(3, session.Length);
    }

    [Fact]
    public async Task Sessions_in_parallel_give_what_each_gives_alone()
    {
        PruningSchedule[] schedules = [PruningSchedule.None, PruningSchedule.Parse("4:0.1"), PruningSchedule.Paper, PruningSchedule.Parse("2:0.5")];
        float[][] alone = [.. schedules.Select(Run)];
        float[][] together = await Task.WhenAll(schedules.Select(schedule => Task.Run(() => Run(schedule))));
        Assert.Equal(alone, together);

        float[] Run(PruningSchedule schedule)
        {
            using Session session = _engine.CreateSession(schedule);
            session.Step(_engine.Tokenizer!.Encode(_document + _document));
            return session.Step(_engine.Tokenizer.EncodeContinuation(" " + FirstQuestion)).ToArray();
        }
    }

    [Fact]
    public async Task The_number_of_threads_does_not_show()
    {
        int[] prompt = _engine.Tokenizer!.Encode(_document + _document);
        float[][] logits = new float[3][];
        for (int threads = 1; threads <= logits.Length; threads++)
        {
            using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu", Threads = threads });
            using Session session = engine.CreateSession(PruningSchedule.Parse("4:0.3"));
            session.Step(prompt);
            logits[threads - 1] = session.Step([7]).ToArray();
        }

        Assert.Equal(logits[0], logits[1]);
        Assert.Equal(logits[0], logits[2]);
    }

    private static async Task<List<GeneratedToken>> List(IAsyncEnumerable<GeneratedToken> tokens)
    {
        var list = new List<GeneratedToken>();
        await foreach (GeneratedToken token in tokens)
        {
            list.Add(token);
        }

        return list;
    }

    private static async Task<string> Text(IAsyncEnumerable<GeneratedToken> tokens) => string.Concat((await List(tokens)).Select(t => t.Text));

    private async Task<List<GeneratedToken>> Tokens(SamplingOptions options, string? prompt = null)
    {
        using Session session = _engine.CreateSession();
        return await List(session.GenerateAsync(prompt ?? _document + FirstQuestion, options));
    }

    private sealed class Callback(Action<PrefillProgress> action) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => action(value);
    }
}
