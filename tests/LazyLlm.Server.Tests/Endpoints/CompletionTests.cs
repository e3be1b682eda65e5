using System.Text.Json;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Server.Tests.Endpoints;

public sealed class CompletionTests
{
    private const string Path = "v1/completions";
    private const string Prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";

    [Theory]
    [InlineData("")]
    [InlineData(""","pruning":"4:0.3" """)]
    [InlineData(""","temperature":1,"seed":7""")]
    [InlineData(""","temperature":0.8,"top_k":20,"top_p":0.95,"min_p":0.01,"repetition_penalty":1.1,"seed":-1,"echo":true,"pruning":"3:0.5,8:0.2" """)]
    [InlineData(""","stop":["teapot","sun st"],"n":2""")]
    [InlineData(""","temperature":1.2,"seed":3,"n":3""")]
    public async Task Whole_and_streamed_answers_are_the_same_and_so_are_two_of_the_same_seed(string fields)
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string body = $$"""{"prompt":"{{Prompt}}","max_tokens":24,"ignore_eos":true{{fields}}""";
        (int status, JsonElement whole) = await server.AskAsync(Path, $"{body}}}");
        Assert.Equal(200, status);
        (_, JsonElement again) = await server.AskAsync(Path, $"{body}}}");
        Assert.Equal($"{whole.GetProperty("choices")}", $"{again.GetProperty("choices")}");

        JsonElement[] events = await server.StreamAsync(Path, body + ""","stream":true,"stream_options":{"include_usage":true}}""");
        ILookup<int, JsonElement> streamed = events.SelectMany(e => e.GetProperty("choices").EnumerateArray()).ToLookup(choice => choice.GetProperty("index").GetInt32());
        foreach (JsonElement choice in whole.GetProperty("choices").EnumerateArray())
        {
            JsonElement[] pieces = [.. streamed[choice.GetProperty("index").GetInt32()]];
            Assert.Equal(choice.GetProperty("text").GetString(), string.Concat(pieces.Select(piece => piece.GetProperty("text").GetString())));
            Assert.Equal(choice.GetProperty("finish_reason").GetString(), pieces[^1].GetProperty("finish_reason").GetString());
            Assert.All(pieces[..^1], piece => Assert.Equal(JsonValueKind.Null, piece.GetProperty("finish_reason").ValueKind));
        }

        Assert.Equal(whole.GetProperty("choices").GetArrayLength(), streamed.Count);
        Assert.Equal($"{whole.GetProperty("usage")}", $"{events[^1].GetProperty("usage")}");
    }

    [Fact]
    public async Task Requests_at_once_get_what_each_gets_alone()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string[] bodies = [.. Enumerable.Range(0, 10).Select(i => $$"""{"prompt":"{{Prompt}}","max_tokens":{{8 + i}},"temperature":1,"seed":{{i}},"pruning":"{{(i % 2 == 0 ? "4:0.3" : "none")}}"}""")];
        var alone = new List<string>();
        foreach (string body in bodies)
        {
            alone.Add($"{(await server.AskAsync(Path, body)).Body.GetProperty("choices")}");
        }

        (int Status, JsonElement Body)[] together = await Task.WhenAll(bodies.Select(body => server.AskAsync(Path, body)));
        Assert.Equal(alone, together.Select(answer => $"{answer.Body.GetProperty("choices")}"));
        Assert.True(alone.Distinct().Count() > 5);
    }

    [Fact]
    public async Task The_figures_are_those_of_the_library()
    {
        const string schedule = "4:0.4,8:0.2";
        await using DemoServer server = await DemoServer.StartAsync();
        (_, JsonElement answer) = await server.AskAsync(Path, $$"""{"prompt":"{{Prompt}}","max_tokens":12,"ignore_eos":true,"pruning":"{{schedule}}"}""");

        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        using Session session = engine.CreateSession(PruningSchedule.Parse(schedule));
        string text = "";
        await foreach (GeneratedToken token in session.GenerateAsync(Prompt, new SamplingOptions { MaxTokens = 12, IgnoreEndTokens = true }))
        {
            text += token.Text;
        }

        RunStatistics run = session.Statistics;
        Assert.Equal(text, answer.GetProperty("choices")[0].GetProperty("text").GetString());
        JsonElement usage = answer.GetProperty("usage");
        Assert.Equal((run.PromptTokens, 12, run.PromptTokens + 12), (Whole(usage, "prompt_tokens"), Whole(usage, "completion_tokens"), Whole(usage, "total_tokens")));
        JsonElement timings = answer.GetProperty("timings");
        Assert.Equal((run.ComputedPairs, run.DensePairs), (Whole(timings, "pairs_computed"), Whole(timings, "pairs_dense")));
        Assert.Equal(run.Stages.Sum(stage => stage.Revived), Whole(timings, "positions_revived"));
        Assert.True(Whole(timings, "positions_revived") > 0);
        Assert.Equal(
            run.Stages.Select(stage => (stage.Stage.FirstLayer, stage.Stage.EndLayer - 1, stage.Computed, stage.Revived)),
            timings.GetProperty("stages").EnumerateArray().Select(stage => ((int)Whole(stage, "first_layer"), (int)Whole(stage, "last_layer"), Whole(stage, "positions_computed"), Whole(stage, "positions_revived"))));
        Assert.Equal(Number(timings, "ttft_ms"), Number(timings, "prepare_ms") + Number(timings, "queue_ms") + Number(timings, "prefill_ms"), 0.01);
        Assert.InRange(Number(timings, "ttft_ms"), 0.001, Number(timings, "total_ms"));
    }

    [Fact]
    public async Task Prompts_come_as_text_as_tokens_or_several_at_once()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        (_, JsonElement tokenized) = await server.AskAsync("tokenize", $$"""{"content":"{{Prompt}}"}""");
        string ids = $"{tokenized.GetProperty("tokens")}";
        string text = Choices(await server.AskAsync(Path, $$"""{"prompt":"{{Prompt}}","max_tokens":4}""")).Single();
        Assert.Equal([text], Choices(await server.AskAsync(Path, $$"""{"prompt":{{ids}},"max_tokens":4}""")));
        string other = Choices(await server.AskAsync(Path, """{"prompt":"The old fox","max_tokens":4}""")).Single();
        Assert.Equal([text, text, other, other], Choices(await server.AskAsync(Path, $$"""{"prompt":["{{Prompt}}","The old fox"],"n":2,"max_tokens":4}""")));
        Assert.Equal([text, text], Choices(await server.AskAsync(Path, $$"""{"prompt":[{{ids}},{{ids}}],"max_tokens":4}""")));
        Assert.Equal([Prompt + text], Choices(await server.AskAsync(Path, $$"""{"prompt":{{ids}},"max_tokens":4,"echo":true}""")));
    }

    [Fact]
    public async Task A_stop_string_ends_the_answer_before_it()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string whole = Choices(await server.AskAsync(Path, $$"""{"prompt":"{{Prompt}}","max_tokens":16}""")).Single();
        // From the middle of one token into the next.
        string stop = whole[9..13];
        (_, JsonElement answer) = await server.AskAsync(Path, $$"""{"prompt":"{{Prompt}}","max_tokens":16,"stop":["never this","{{stop}}"]}""");
        Assert.Equal(whole[..whole.IndexOf(stop, StringComparison.Ordinal)], answer.GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.Equal("stop", answer.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task A_shared_beginning_is_computed_once()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string body = $$"""{"prompt":"{{Prompt}}","max_tokens":4,"shared_prefix":20}""";
        (_, JsonElement first) = await server.AskAsync(Path, body);
        (_, JsonElement second) = await server.AskAsync(Path, body);
        Assert.Equal((0, 20), (Cached(first), Cached(second)));
        Assert.Equal($"{first.GetProperty("choices")}", $"{second.GetProperty("choices")}");
    }

    [Fact]
    public async Task The_servers_schedule_holds_where_a_request_names_none()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { Pruning = PruningSchedule.Parse("4:0.2"), MaxTokensLimit = 20 });
        Assert.True(Number(await TimingsAsync(""), "dense_share") < 1);
        Assert.Equal(1, Number(await TimingsAsync(""","pruning":"none" """), "dense_share"));

        async Task<JsonElement> TimingsAsync(string fields) => (await server.AskAsync(Path, $$"""{"prompt":"{{Prompt}}","max_tokens":2{{fields}}}""")).Body.GetProperty("timings");
    }

    [Fact]
    public async Task An_answer_ends_by_length_where_the_context_is_full()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        (int status, JsonElement answer) = await server.AskAsync(Path, $$"""{"prompt":[{{string.Join(',', Enumerable.Repeat(5, 2_046))}}],"max_tokens":50,"ignore_eos":true,"pruning":"2:0.1"}""");
        Assert.Equal(200, status);
        Assert.Equal("length", answer.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.InRange(Whole(answer.GetProperty("usage"), "completion_tokens"), 2, 3);
    }

    private static string[] Choices((int Status, JsonElement Body) answer)
    {
        Assert.True(answer.Status == 200, $"{answer.Body}");
        return [.. answer.Body.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("text").GetString()!)];
    }

    private static int Cached(JsonElement answer) => answer.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();

    private static long Whole(JsonElement element, string name) => element.GetProperty(name).GetInt64();

    private static double Number(JsonElement element, string name) => element.GetProperty(name).GetDouble();
}
