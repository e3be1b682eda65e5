using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Server.Metrics;

namespace LazyLlm.Server.Tests.Metrics;

public sealed partial class MetricsEndpointTests
{
    [Fact]
    public async Task A_scrape_has_requests_engine_scheduler_process_and_http()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ModelName = $"model-{Guid.NewGuid():N}" });
        using HttpResponseMessage run = await server.CompareAsync("""{"prompt":"The old fox sleeps near the mill.","pruning":"4:0.2","maxTokens":4}""");
        await run.Content.ReadAsStringAsync();
        using HttpResponseMessage response = await server.Client.GetAsync(new Uri("metrics", UriKind.Relative));
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        string text = await response.Content.ReadAsStringAsync();
        AssertIsExposition(text);

        // The model's name is this test's own, so that these are this server's requests alone. The first comparison of a process runs twice.
        string labels = $"gen_ai_operation_name=\"text_completion\",gen_ai_provider_name=\"lazyllm\",gen_ai_request_model=\"{server.Server.ModelName}\"";
        foreach (string pruning in new[] { "dense", "pruned" })
        {
            double requests = Value(text, $"lazyllm_requests_ended_total{{{labels},lazyllm_outcome=\"length\",lazyllm_pruning=\"{pruning}\"}}");
            Assert.InRange(requests, 1, 2);
            foreach (string histogram in new[] { "gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds", "gen_ai_server_request_duration_seconds", "lazyllm_queue_duration_seconds" })
            {
                Assert.Equal(requests, Value(text, $"{histogram}_count{{{labels},lazyllm_pruning=\"{pruning}\"}}"));
                Assert.Equal(requests, Value(text, $"{histogram}_bucket{{{labels},lazyllm_pruning=\"{pruning}\",le=\"+Inf\"}}"));
            }
        }

        Assert.Equal(server.Server.Scheduler.MemoryBudget, Value(text, "lazyllm_scheduler_memory_budget_bytes"));
        Assert.Equal(0, Value(text, "lazyllm_scheduler_memory_promised_bytes"));
        Assert.Equal(0, Value(text, "lazyllm_engine_faulted"));
        Assert.True(Value(text, "lazyllm_generated_tokens_total") >= 8);
        Assert.Contains("lazyllm_kv_cache_bytes ", text, StringComparison.Ordinal);
        Assert.Contains("lazyllm_aux_cache_bytes ", text, StringComparison.Ordinal);
        Assert.Contains("lazyllm_requests_running ", text, StringComparison.Ordinal);
        Assert.Contains("lazyllm_requests_waiting ", text, StringComparison.Ordinal);
        Assert.Contains("lazyllm_computed_positions_total{stage=\"1\"} ", text, StringComparison.Ordinal);
        Assert.True(Value(text, "dotnet_process_memory_working_set_bytes") > 1 << 20);
        Assert.True(Value(text, "process_start_time_seconds") > 1_700_000_000);
        Assert.Matches("""http_server_request_duration_seconds_count\{.*http_route="/monitor/compare".*\} 1\n""", text);
    }

    [Theory]
    [InlineData("application/openmetrics-text; version=1.0.0; q=0.5, text/plain; q=0.3, */*; q=0.1", true)]
    [InlineData("text/plain;version=0.0.4, application/openmetrics-text;q=0.5", false)]
    [InlineData("*/*", false)]
    [InlineData("nonsense,,;;", false)]
    public async Task The_format_is_what_the_reader_prefers(string accept, bool openMetrics)
    {
        await using DemoServer server = await DemoServer.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "metrics");
        request.Headers.TryAddWithoutValidation("Accept", accept);
        using HttpResponseMessage response = await server.Client.SendAsync(request);
        string text = await response.Content.ReadAsStringAsync();
        Assert.Equal(openMetrics ? "application/openmetrics-text" : "text/plain", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal(openMetrics, text.EndsWith("# EOF\n", StringComparison.Ordinal));
        AssertIsExposition(text);
    }

    [Fact]
    public async Task Metrics_are_data_and_need_the_key()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ApiKey = "secret" });
        using var stranger = new HttpClient { BaseAddress = server.Server.Address };
        using HttpResponseMessage refused = await stranger.GetAsync(new Uri("metrics", UriKind.Relative));
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        using HttpResponseMessage answered = await server.Client.GetAsync(new Uri("metrics", UriKind.Relative));
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);
    }

    [Fact]
    public async Task Every_instrument_is_described_in_the_docs()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string docs = File.ReadAllText(Path.Combine(RepositoryFiles.Root, "docs", "MONITORING.md"));
        var names = new List<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name is EngineMetrics.MeterName or ServerInstruments.MeterName)
                {
                    names.Add(instrument.Name);
                }
            },
        };

        // An instrument exists once something has measured.
        using HttpResponseMessage run = await server.CompareAsync("""{"prompt":"The old fox","maxTokens":1}""");
        await run.Content.ReadAsStringAsync();
        listener.Start();
        Assert.True(names.Count > 25);
        Assert.All(names, name => Assert.Contains($"`{name}`", docs, StringComparison.Ordinal));
    }

    private static double Value(string text, string series)
    {
        string line = Assert.Single(text.Split('\n'), line => line.StartsWith($"{series} ", StringComparison.Ordinal));
        return double.Parse(line[(series.Length + 1)..], CultureInfo.InvariantCulture);
    }

    /// <summary>Every line is one of the format's, no series comes twice, and a family's lines stand together under its type.</summary>
    private static void AssertIsExposition(string text)
    {
        var series = new HashSet<string>();
        var families = new HashSet<string>();
        string family = "";
        foreach (string line in text.Split('\n')[..^1])
        {
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                family = line.Split(' ')[2];
                Assert.True(families.Add(family), $"{family} comes twice.");
            }
            else if (!line.StartsWith('#'))
            {
                Match sample = Sample().Match(line);
                Assert.True(sample.Success, $"no sample: {line}");
                Assert.True(series.Add(sample.Groups["series"].Value), $"twice: {line}");
                Assert.StartsWith(family, line, StringComparison.Ordinal);
            }
        }

        Assert.True(families.Count > 10);
    }

    [GeneratedRegex("""^(?<series>[a-zA-Z_][a-zA-Z0-9_]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\.)*",?)+\})?) ([-+0-9.eE]+|NaN|[-+]Inf)$""")]
    private static partial Regex Sample();
}
