using System.Globalization;
using System.Text;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Native.CApi.Tests;

/// <summary>What C callers get, line by line against what the engine itself gives: <c>drive.c</c> and its twin here.</summary>
public sealed class DrivenTests(PublishedLibrary library)
{
    private const string Prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";
    private const string Question = " Question: Where does the fox sleep? Answer:";

    private static readonly SamplingOptions Eight = new() { MaxTokens = 8, IgnoreEndTokens = true };
    private static readonly SamplingOptions Drawn = new() { MaxTokens = 12, IgnoreEndTokens = true, Seed = 7, Temperature = 1.5f, TopK = 200, TopP = 0.98f, RepetitionPenalty = 1.1f };

    [Fact]
    public async Task On_the_CPU_every_call_gives_what_the_engine_gives() => await CompareAsync("cpu");

    [Fact]
    public async Task On_CUDA_every_call_gives_what_the_engine_gives()
    {
        Assert.SkipUnless(PublishedLibrary.Finds("c++"), "There is no C++ compiler for the stand-in driver.");
        string standin = Path.Combine(RepositoryFiles.Root, "artifacts", "cuda-standin");
        (int code, string output) = PublishedLibrary.Run("sh", [Path.Combine(RepositoryFiles.Root, "tests", "cuda-standin", "build.sh"), standin]);
        Assert.True(code == 0, output);
        await CompareAsync(
            "cuda",
            ("LAZYLLM_CUDA_DRIVER", Path.Combine(standin, "libcuda-standin.so")),
            ("LAZYLLM_NVRTC", Path.Combine(standin, "libnvrtc-standin.so")),
            ("LAZYLLM_CACHE_DIR", Path.Combine(RepositoryFiles.Root, "artifacts", "kernel-cache-standin")));
    }

    [Fact]
    public async Task A_token_allocates_nothing()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu", Threads = 1 }, cancellation: TestContext.Current.CancellationToken);
        var session = new CallerSession(engine, engine.CreateSession(PruningSchedule.Parse("4:0.5")));
        session.Append(Prompt);
        // Text on every token, and a stop string that never comes.
        session.Begin(new SamplingOptions { IgnoreEndTokens = true, Temperature = 0.8f, TopP = 0.9f, Seed = 1, StopStrings = ["never this"] });
        var allocated = new List<long>(400);
        for (int i = 0; i < 400; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            session.Next(null, out FinishReason finish, out ReadOnlySpan<byte> _);
            session.Deliver();
            allocated.Add(GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.Equal(FinishReason.None, finish);
        }

        session.Dispose();
        // Lists of tokens and blocks of K/V grow now and then; nothing comes per token.
        int growing = allocated.Skip(50).Count(bytes => bytes > 0);
        Assert.True(growing < 20, $"{growing} of 350 tokens allocated: {string.Join(' ', allocated.Skip(50).Where(bytes => bytes > 0))} bytes.");
    }

    private async Task CompareAsync(string device, params (string Name, string Value)[] variables)
    {
        string program = library.Compile(Path.Combine(RepositoryFiles.Root, "tests", "LazyLlm.Native.CApi.Tests", "drive.c"));
        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu", ContextLength = 512 }, cancellation: TestContext.Current.CancellationToken);

        // A stop string out of the middle of what is drawn: across two tokens.
        List<GeneratedToken> drawn = await GenerateAsync(engine, "4:0.5", Drawn);
        string text = string.Concat(drawn.Select(token => token.Text));
        int border = drawn.Take(6).Sum(token => token.Text.Length);
        string stop = text[(border - 1)..(border + 1)];

        string[] expected = [.. await ExpectAsync(engine, stop)];
        (int code, string output) = PublishedLibrary.Run(program, [RepositoryFiles.Demo, device, stop], variables: variables);
        Assert.Equal(expected, output.TrimEnd('\n').Split('\n'));
        Assert.Equal(0, code);
    }

    private static async Task<List<string>> ExpectAsync(LlamaEngine engine, string stop)
    {
        var lines = new List<string> { $"engine: {engine.Config.LayerCount} layers, context 512, loading told 1" };
        using (Session session = engine.CreateSession())
        {
            session.Append(Prompt);
            lines.Add(await LineAsync("dense", session, Eight));
            lines.Add($"steps told: 1, of {engine.Config.LayerCount} layers");
            RunStatistics first = session.Statistics;
            session.Append(Question);
            lines.Add(await LineAsync("follow-up", session, Eight));
            lines.Add(Statistics(session, first));
        }

        using (Session session = engine.CreateSession(PruningSchedule.Parse("4:0.5,8:0.25")))
        {
            session.Append(Prompt);
            string[] whole = (await LineAsync("pruned, the rest", session, Eight)).Split(' ');
            // The first token came before the cancelled step, and its text with it.
            string first = engine.Tokenizer!.Decode([int.Parse(whole[3], CultureInfo.InvariantCulture)], continuation: true);
            string line = string.Join(' ', [.. whole[..3], .. whole[4..]]);
            lines.Add("cancelled: 1 after 2 calls");
            lines.Add(line.Replace($"[{first}", "[", StringComparison.Ordinal));
            RunStatistics turn = session.Statistics;
            session.Append(Question);
            string followUp = await LineAsync("pruned follow-up", session, Eight);
            lines.Add(followUp);
            lines.Add(followUp.Replace("pruned follow-up", "its fork", StringComparison.Ordinal));
            lines.Add(Statistics(session, turn));
        }

        foreach ((string name, SamplingOptions sampling) in new[] { ("drawn", Drawn), ("drawn", Drawn), ("stopped", Drawn with { StopStrings = [stop] }) })
        {
            using Session session = engine.CreateSession(PruningSchedule.Parse("4:0.5"));
            session.Append(Prompt);
            lines.Add(await LineAsync(name, session, sampling));
        }

        using (Session session = engine.CreateSession(PruningSchedule.Parse("4:0.5")))
        {
            session.StepEmbeddings([.. Enumerable.Range(0, engine.Config.HiddenSize * 20).Select(i => (float)((i * 37 % 101) - 50) / 50)]);
            string line = await LineAsync("embeddings", session, Eight);
            lines.Add(line);
            lines.Add($"logits: {engine.Config.VocabularySize}, highest {line.Split(' ')[8]}");
        }

        lines.Add("advice: temperature 0, top_p 1, 4 tokens");
        return lines;
    }

    private static async Task<List<GeneratedToken>> GenerateAsync(LlamaEngine engine, string schedule, SamplingOptions sampling)
    {
        using Session session = engine.CreateSession(PruningSchedule.Parse(schedule));
        return await session.GenerateAsync(Prompt, sampling, TestContext.Current.CancellationToken).ToListAsync(TestContext.Current.CancellationToken);
    }

    private static async Task<string> LineAsync(string name, Session session, SamplingOptions sampling)
    {
        var text = new StringBuilder();
        var line = new StringBuilder($"{name}:");
        await foreach (GeneratedToken token in session.GenerateAsync(sampling, TestContext.Current.CancellationToken))
        {
            line.Append(CultureInfo.InvariantCulture, $" {token.Id}");
            text.Append(token.Text);
            if (token.Finish != FinishReason.None)
            {
                line.Append(CultureInfo.InvariantCulture, $" ({(int)token.Finish})");
            }
        }

        return $"{line} [{text}]";
    }

    /// <summary>In C, counts of pairs are of the whole session; here of one of its two turns.</summary>
    private static string Statistics(Session session, RunStatistics first)
    {
        RunStatistics second = session.Statistics;
        return $"statistics: {second.GeneratedTokens} tokens, {second.ContextTokens} positions, {session.PendingTokens} pending, {first.ComputedPairs + second.ComputedPairs} of {first.DensePairs + second.DensePairs} pairs, {first.Stages.Concat(second.Stages).Sum(stage => stage.Revived)} revived, timed 1";
    }
}
