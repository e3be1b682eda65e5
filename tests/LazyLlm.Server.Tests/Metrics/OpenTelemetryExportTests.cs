using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace LazyLlm.Server.Tests.Metrics;

[Collection(EnvironmentTests.Name)]
public sealed class OpenTelemetryExportTests
{
    private const string Protocol = "OTEL_EXPORTER_OTLP_PROTOCOL";
    private const string Endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Metrics_and_traces_arrive_at_a_receiver_that_an_option_or_the_environment_names(bool byOption)
    {
        using var receiver = new Receiver();
        Environment.SetEnvironmentVariable(Protocol, "http/protobuf");
        Environment.SetEnvironmentVariable(Endpoint, byOption ? null : receiver.Address.ToString());
        string model = $"model-{Guid.NewGuid():N}";
        try
        {
            await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ModelName = model, OtlpEndpoint = byOption ? receiver.Address : null });
            using HttpResponseMessage run = await server.CompareAsync("""{"prompt":"The old fox sleeps near the mill.","pruning":"4:0.2","maxTokens":4}""");
            Assert.Equal(HttpStatusCode.OK, run.StatusCode);
            await run.Content.ReadAsStringAsync();
            await server.Client.GetStringAsync(new Uri("monitor/state", UriKind.Relative));
        }
        finally
        {
            Environment.SetEnvironmentVariable(Protocol, null);
            Environment.SetEnvironmentVariable(Endpoint, null);
        }

        // The server's end has sent what was left.
        string metrics = receiver.Received("/v1/metrics");
        foreach (string expected in new[] { "gen_ai.server.time_to_first_token", "gen_ai.server.request.duration", "lazyllm.computed_pairs", "lazyllm.scheduler.memory.budget", "http.server.request.duration", "service.name", model })
        {
            Assert.Contains(expected, metrics, StringComparison.Ordinal);
        }

        string traces = receiver.Received("/v1/traces");
        foreach (string expected in new[] { $"text_completion {model}", "lazyllm.first_token", "gen_ai.usage.output_tokens", "4:0.2", "POST /monitor/compare" })
        {
            Assert.Contains(expected, traces, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("/monitor/state", traces, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_is_sent_where_no_receiver_is_named_or_the_export_is_disabled()
    {
        using var receiver = new Receiver();
        Environment.SetEnvironmentVariable(Protocol, "http/protobuf");
        Environment.SetEnvironmentVariable(Endpoint, receiver.Address.ToString());
        Environment.SetEnvironmentVariable("OTEL_SDK_DISABLED", "true");
        try
        {
            await using DemoServer server = await DemoServer.StartAsync();
            using HttpResponseMessage run = await server.CompareAsync("""{"prompt":"The old fox","maxTokens":1}""");
            await run.Content.ReadAsStringAsync();
        }
        finally
        {
            Environment.SetEnvironmentVariable(Protocol, null);
            Environment.SetEnvironmentVariable(Endpoint, null);
            Environment.SetEnvironmentVariable("OTEL_SDK_DISABLED", null);
        }

        Assert.Equal("", receiver.Received("/v1/metrics") + receiver.Received("/v1/traces"));
    }

    /// <summary>Takes what is posted to it, and answers as an OTLP receiver does: 200 and an empty message.</summary>
    private sealed class Receiver : IDisposable
    {
        private readonly HttpListener _listener = new();
        private readonly ConcurrentQueue<(string Path, byte[] Body)> _posts = new();

        public Receiver()
        {
            using (var probe = new TcpListener(IPAddress.Loopback, 0))
            {
                probe.Start();
                Address = new Uri($"http://127.0.0.1:{((IPEndPoint)probe.LocalEndpoint).Port}/");
            }

            _listener.Prefixes.Add(Address.ToString());
            _listener.Start();
            _ = Task.Run(ReceiveAsync);
        }

        public Uri Address { get; }

        /// <summary>Everything posted to a path. The messages' names and texts stand in them as they are.</summary>
        public string Received(string path) => string.Concat(_posts.Where(post => post.Path == path).Select(post => Encoding.UTF8.GetString(post.Body)));

        public void Dispose() => _listener.Close();

        private async Task ReceiveAsync()
        {
            try
            {
                while (true)
                {
                    HttpListenerContext context = await _listener.GetContextAsync();
                    using var body = new MemoryStream();
                    await context.Request.InputStream.CopyToAsync(body);
                    _posts.Enqueue((context.Request.Url!.AbsolutePath, body.ToArray()));
                    context.Response.ContentType = "application/x-protobuf";
                    context.Response.Close();
                }
            }
            catch (Exception error) when (error is HttpListenerException or ObjectDisposedException)
            {
                // Closed.
            }
        }
    }
}
