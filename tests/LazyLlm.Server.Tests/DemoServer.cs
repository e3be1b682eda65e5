using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Tests;

/// <summary>A server with the repository's model on a free port, and a client for it.</summary>
internal sealed class DemoServer : IAsyncDisposable
{
    private readonly LlamaEngine _engine;

    private DemoServer(LlamaEngine engine, LlamaServer server, string? key)
    {
        _engine = engine;
        Server = server;
        Client = new HttpClient { BaseAddress = server.Address };
        if (key is not null)
        {
            Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }
    }

    public LlamaServer Server { get; }

    /// <summary>Brings the server's key.</summary>
    public HttpClient Client { get; }

    public static async Task<DemoServer> StartAsync(LlamaServerOptions? options = null)
    {
        LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        return new DemoServer(engine, await LlamaServer.StartAsync(engine, options), options?.ApiKey);
    }

    /// <summary>Runs a prompt dense and pruned.</summary>
    public Task<HttpResponseMessage> CompareAsync(string json) => PostAsync("monitor/compare", json);

    /// <summary>Posts JSON.</summary>
    public Task<HttpResponseMessage> PostAsync(string path, string json, CancellationToken cancellation = default) =>
        Client.PostAsync(new Uri(path, UriKind.Relative), new StringContent(json, Encoding.UTF8, "application/json"), cancellation);

    /// <summary>Posts JSON and reads the answer's.</summary>
    public async Task<(int Status, JsonElement Body)> AskAsync(string path, string json)
    {
        using HttpResponseMessage response = await PostAsync(path, json);
        return ((int)response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    /// <summary>Posts JSON and reads the events of the answer, without the one that ends it.</summary>
    public async Task<JsonElement[]> StreamAsync(string path, string json)
    {
        using HttpResponseMessage response = await PostAsync(path, json);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        string[] events = (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.All(events, line => Assert.StartsWith("data: ", line, StringComparison.Ordinal));
        Assert.Equal("data: [DONE]", events[^1]);
        return [.. events[..^1].Select(line => JsonDocument.Parse(line["data: ".Length..]).RootElement)];
    }

    /// <summary>A connection of its own with a request sent on it, to be left at any moment.</summary>
    public async Task<TcpClient> SendAsync(string path, string json)
    {
        var connection = new TcpClient();
        await connection.ConnectAsync(Server.Address.Host, Server.Address.Port);
        byte[] body = Encoding.UTF8.GetBytes(json);
        await connection.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n"));
        await connection.GetStream().WriteAsync(body);
        return connection;
    }

    /// <summary>Waits until the scheduler stands as described; fails after a long while.</summary>
    public async Task UntilAsync(Func<SchedulerStatus, bool> holds)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while (!holds(Server.Scheduler.Status))
        {
            Assert.False(patience.IsCancellationRequested, $"It stayed at {Server.Scheduler.Status}.");
            await Task.Delay(5);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Server.DisposeAsync();
        _engine.Dispose();
    }
}
