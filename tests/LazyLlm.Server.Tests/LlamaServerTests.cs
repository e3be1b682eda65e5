using System.Net;
using System.Text.Json;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Server.Tests;

/// <summary>A server's life: how it starts, and how it ends.</summary>
public sealed class LlamaServerTests
{
    private const string Path = "v1/completions";
    private const string Endless = """{"prompt":"Mira keeps","max_tokens":1500,"ignore_eos":true,"stream":true}""";

    [Fact]
    public async Task A_port_in_use_is_named()
    {
        await using DemoServer first = await DemoServer.StartAsync();
        int port = first.Server.Address.Port;
        IOException error = await Assert.ThrowsAsync<IOException>(() => DemoServer.StartAsync(new LlamaServerOptions { Port = port }));
        Assert.Contains($"127.0.0.1:{port}", error.Message, StringComparison.Ordinal);
        Assert.Contains("another program listens there", error.Message, StringComparison.Ordinal);
        Assert.Equal(200, (await first.AskAsync(Path, """{"prompt":"a","max_tokens":1}""")).Status);
    }

    [Fact]
    public async Task It_listens_on_this_machine_alone_unless_told_otherwise()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        Assert.True(IPAddress.IsLoopback(IPAddress.Parse(server.Server.Address.Host)));
    }

    [Fact]
    public async Task Options_that_cannot_be_are_named()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        foreach ((string name, LlamaServerOptions options) in new[]
        {
            ("Port", new LlamaServerOptions { Port = 65_536 }),
            ("ApiKey", new LlamaServerOptions { ApiKey = "" }),
            ("ApiKey", new LlamaServerOptions { ApiKey = "a b" }),
            ("TimeLimit", new LlamaServerOptions { TimeLimit = TimeSpan.Zero }),
            ("ReaderTimeLimit", new LlamaServerOptions { ReaderTimeLimit = TimeSpan.FromDays(2) }),
            ("MaxTokensLimit", new LlamaServerOptions { MaxTokensLimit = 0 }),
            ("BodyLimit", new LlamaServerOptions { BodyLimit = 0 }),
            ("ConnectionLimit", new LlamaServerOptions { ConnectionLimit = 0 }),
            ("schedule", new LlamaServerOptions { Pruning = PruningSchedule.Parse("40:0.5") }),
        })
        {
            InvalidOptionException error = await Assert.ThrowsAsync<InvalidOptionException>(() => LlamaServer.StartAsync(engine, options));
            Assert.Contains(name, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Stopping_lets_what_runs_end_and_refuses_what_comes()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        Task<JsonElement[]> running = server.StreamAsync(Path, Endless);
        await server.UntilAsync(status => status.Requests.Any(answer => answer.GeneratedTokens > 3));
        Task stop = server.Server.StopAsync();
        using HttpResponseMessage refused = await server.PostAsync(Path, """{"prompt":"a"}""");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.True(refused.Headers.RetryAfter!.Delta > TimeSpan.Zero);
        using HttpResponseMessage health = await server.Client.GetAsync(new Uri("health", UriKind.Relative));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, """{"status":"draining"}"""), (health.StatusCode, await health.Content.ReadAsStringAsync()));

        JsonElement[] events = await running;
        Assert.Equal("length", events[^1].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Equal(1_500, events.Length - 1);
        await stop;
        await Assert.ThrowsAsync<HttpRequestException>(() => server.AskAsync(Path, "{}"));
        await server.Server.StopAsync();
    }

    [Fact]
    public async Task Stopping_at_once_tells_what_runs()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        Task<(int Status, JsonElement Body)> whole = server.AskAsync(Path, """{"prompt":"Mira keeps","max_tokens":1500,"ignore_eos":true}""");
        using var request = new HttpRequestMessage(HttpMethod.Post, Path) { Content = new StringContent(Endless, System.Text.Encoding.UTF8, "application/json") };
        using HttpResponseMessage stream = await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await server.UntilAsync(status => status.Running == 2);
        await server.Server.StopAsync(new CancellationToken(canceled: true));
        string[] events = (await stream.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("draining", events[^1], StringComparison.Ordinal);
        Assert.Equal((503, "draining"), ((await whole).Status, (await whole).Body.GetProperty("error").GetProperty("code").GetString()));
        await server.Server.DisposeAsync();
    }
}
