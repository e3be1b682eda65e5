using System.Net;
using System.Text;
using System.Text.Json;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Server.Tests.Monitor;

public sealed class MonitorEndpointsTests
{
    private const string Prompt = "The old fox sleeps near the mill. Mira keeps the lamp in the attic. Question: Where does Mira keep the lamp? Answer:";

    [Fact]
    public async Task The_page_comes_with_its_files_under_a_strict_policy()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ApiKey = "secret" });
        using var stranger = new HttpClient { BaseAddress = server.Server.Address };
        foreach ((string path, string type) in new[] { ("", "text/html"), ("monitor/monitor.js", "text/javascript"), ("monitor/monitor.css", "text/css"), ("monitor/icon.svg", "image/svg+xml") })
        {
            using HttpResponseMessage response = await stranger.GetAsync(new Uri(path, UriKind.Relative));
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(type, response.Content.Headers.ContentType!.MediaType);
            Assert.StartsWith("default-src 'none'; script-src 'self';", response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
            Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());

            using var again = new HttpRequestMessage(HttpMethod.Get, path);
            again.Headers.TryAddWithoutValidation("If-None-Match", response.Headers.ETag!.Tag);
            using HttpResponseMessage unchanged = await stranger.SendAsync(again);
            Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);
        }

        using HttpResponseMessage inner = await stranger.GetAsync(new Uri("monitor/..%2findex.html", UriKind.Relative));
        Assert.NotEqual(HttpStatusCode.OK, inner.StatusCode);
        using HttpResponseMessage state = await stranger.GetAsync(new Uri("monitor/state", UriKind.Relative));
        using HttpResponseMessage compare = await stranger.PostAsync(new Uri("monitor/compare", UriKind.Relative), new StringContent("{}", Encoding.UTF8, "application/json"));
        Assert.Equal((HttpStatusCode.Unauthorized, HttpStatusCode.Unauthorized), (state.StatusCode, compare.StatusCode));
    }

    [Fact]
    public async Task The_state_tells_the_present_and_only_what_is_new_to_any_number_of_viewers()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ModelName = "seen", Pruning = PruningSchedule.Parse("4:0.5") });
        using HttpResponseMessage run = await server.CompareAsync($$"""{"prompt":"{{Prompt}}","pruning":"4:0.2","maxTokens":4}""");
        await run.Content.ReadAsStringAsync();
        JsonElement state = await StateAsync(server, "");
        Assert.Equal("seen", state.GetProperty("server").GetProperty("model").GetString());
        Assert.Equal("4:0.5", state.GetProperty("server").GetProperty("schedule").GetString());
        Assert.Equal(0, state.GetProperty("load").GetProperty("running").GetInt32());
        Assert.True(state.GetProperty("samples").GetArrayLength() > 0);
        JsonElement[] ended = [.. state.GetProperty("ended").EnumerateArray()];
        JsonElement pruned = ended[^1];
        Assert.Equal("4:0.2", pruned.GetProperty("schedule").GetString());
        Assert.Equal("length", pruned.GetProperty("outcome").GetString());
        Assert.Equal(4, pruned.GetProperty("generatedTokens").GetInt32());
        JsonElement[] stages = [.. pruned.GetProperty("stages").EnumerateArray()];
        Assert.Equal(2, stages.Length);
        Assert.Equal(stages[0].GetProperty("dense").GetInt64(), stages[0].GetProperty("computed").GetInt64());
        Assert.True(stages[1].GetProperty("computed").GetInt64() < stages[1].GetProperty("dense").GetInt64());

        long last = pruned.GetProperty("id").GetInt64();
        Assert.Equal(0, (await StateAsync(server, $"?ended={last}")).GetProperty("ended").GetArrayLength());
        Assert.Equal(1, (await StateAsync(server, $"?ended={last - 1}")).GetProperty("ended").GetArrayLength());
        JsonElement[] viewers = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => StateAsync(server, $"?ended={last - 1}")));
        Assert.All(viewers, viewer => Assert.Equal(last, viewer.GetProperty("ended")[0].GetProperty("id").GetInt64()));
        using HttpResponseMessage wrong = await server.Client.GetAsync(new Uri("monitor/state?sample=-1", UriKind.Relative));
        Assert.Equal(HttpStatusCode.BadRequest, wrong.StatusCode);
    }

    [Fact]
    public async Task A_comparison_maps_the_tokens_as_the_library_traces_them()
    {
        const string schedule = "4:0.3,8:0.1";
        await using DemoServer server = await DemoServer.StartAsync();
        using HttpResponseMessage response = await server.CompareAsync($$"""{"prompt":"{{Prompt}}","pruning":"{{schedule}}","maxTokens":1}""");
        JsonElement[] lines = [.. (await response.Content.ReadAsStringAsync()).Trim().Split('\n').Select(line => JsonDocument.Parse(line).RootElement)];

        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        using Session session = engine.CreateSession(PruningSchedule.Parse(schedule));
        TextTokenizer tokenizer = engine.Tokenizer!;
        int[] tokens = tokenizer.Encode(Prompt);
        session.Tracing = true;
        session.Step(tokens);
        JsonElement map = lines.Last(line => line.GetProperty("event").GetString() == "end").GetProperty("figures");
        Assert.Equal(session.LastTrace!.LastStages(), map.GetProperty("lastStages").EnumerateArray().Select(s => s.GetInt32()));
        Assert.Equal(session.LastTrace.Stages.Select(s => s.Kept.Length), map.GetProperty("stages").EnumerateArray().Select(s => s.GetProperty("kept").GetInt32()));
        JsonElement prompt = lines.Single(line => line.GetProperty("event").GetString() == "prompt");
        string[] texts = [.. prompt.GetProperty("tokens").EnumerateArray().Select(t => t.GetString()!)];
        Assert.Equal(tokens.Length, texts.Length);
        Assert.Equal($"{tokenizer.TokenText(tokens[0])}{Prompt}", string.Concat(texts));
    }

    [Theory]
    [InlineData("""{"prompt":""}""", "prompt")]
    [InlineData("""{"prompt":"a","maxTokens":0}""", "tokens")]
    [InlineData("""{"prompt":"a","maxTokens":100000}""", "tokens")]
    [InlineData("""{"prompt":"a","pruning":"99:0.5"}""", "layer 99")]
    [InlineData("""{"prompt":"a","pruning":"x"}""", "pruning")]
    [InlineData("""{"prompt":7}""", "prompt")]
    [InlineData("null", "object")]
    [InlineData("", "JSON")]
    public async Task A_comparison_that_cannot_be_is_refused_with_the_reason(string json, string reason)
    {
        await using DemoServer server = await DemoServer.StartAsync();
        using HttpResponseMessage response = await server.CompareAsync(json);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains(reason, await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_comparison_sent_as_a_form_of_another_site_could_be_is_refused()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        using HttpResponseMessage response = await server.Client.PostAsync(new Uri("monitor/compare", UriKind.Relative), new StringContent("""{"prompt":"a"}""", Encoding.UTF8, "text/plain"));
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    private static async Task<JsonElement> StateAsync(DemoServer server, string query) =>
        JsonDocument.Parse(await server.Client.GetStringAsync(new Uri($"monitor/state{query}", UriKind.Relative))).RootElement;
}
