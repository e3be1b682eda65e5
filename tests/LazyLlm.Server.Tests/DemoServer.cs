using System.Net.Http.Headers;
using System.Text;
using LazyLlm.Native.Inference;

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
    public Task<HttpResponseMessage> CompareAsync(string json) =>
        Client.PostAsync(new Uri("monitor/compare", UriKind.Relative), new StringContent(json, Encoding.UTF8, "application/json"));

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Server.DisposeAsync();
        _engine.Dispose();
    }
}
