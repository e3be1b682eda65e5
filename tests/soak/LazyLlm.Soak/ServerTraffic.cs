using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace LazyLlm.Soak;

/// <summary>Requests to <c>lazyllm serve</c> in a process of its own.</summary>
internal sealed partial class ServerTraffic : ITraffic
{
    private readonly Process _process;
    private readonly HttpClient _client;

    private ServerTraffic(Process process, Uri address)
    {
        _process = process;
        _client = new HttpClient(new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5) }) { BaseAddress = address, Timeout = TimeSpan.FromMinutes(2) };
    }

    public int ProcessId => _process.Id;

    /// <summary>Starts the server on a free port and waits until it listens.</summary>
    /// <param name="tool">The tool's assembly or executable.</param>
    /// <param name="model">The model's folder.</param>
    /// <param name="device">The device.</param>
    public static async Task<ServerTraffic> StartAsync(string tool, string model, string device)
    {
        string[] arguments = ["serve", model, "--port", "0", "--device", device, "--parallel", "8", "--queue", "5"];
        bool isAssembly = tool.EndsWith(".dll", StringComparison.Ordinal);
        var start = new ProcessStartInfo(isAssembly ? "dotnet" : tool, isAssembly ? [tool, .. arguments] : arguments)
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        Process process = Process.Start(start) ?? throw new SoakFailure($"{tool} did not start.");
        var said = new StringBuilder();
        while (await process.StandardError.ReadLineAsync() is string line)
        {
            said.AppendLine(line);
            if (Listening().Match(line) is { Success: true } match)
            {
                // What nobody reads would block it in the end.
                _ = process.StandardError.BaseStream.CopyToAsync(Console.OpenStandardError());
                _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
                return new ServerTraffic(process, new Uri(match.Value));
            }
        }

        throw new SoakFailure($"The server ended before it listened: {said}");
    }

    public async Task<Outcome> RequestAsync(SoakCase test, Behaviour behaviour, Random random)
    {
        if (behaviour == Behaviour.AskWrongly)
        {
            return await AskWronglyAsync(random.Next(6));
        }

        bool isStreamed = behaviour != Behaviour.ReadWhole && (behaviour != Behaviour.LeaveInTime || random.Next(2) == 0);
        using var leaving = new CancellationTokenSource();
        var text = new StringBuilder();
        int pieces = 0;
        bool isDone = false;
        try
        {
            if (behaviour == Behaviour.LeaveInTime)
            {
                leaving.CancelAfter(random.Next(80));
            }

            int leaveAfter = behaviour == Behaviour.LeaveInAnswer ? 1 + random.Next(test.Tokens.Length) : int.MaxValue;
            using var message = new HttpRequestMessage(HttpMethod.Post, "/v1/completions") { Content = Body(test, isStreamed) };
            using HttpResponseMessage response = await _client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, leaving.Token);
            if (response.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable)
            {
                return response.Headers.RetryAfter is null ? throw new SoakFailure($"{(int)response.StatusCode} without Retry-After.") : Outcome.TurnedAway;
            }

            if (response.StatusCode != HttpStatusCode.OK)
            {
                throw new SoakFailure($"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(leaving.Token)}");
            }

            if (isStreamed)
            {
                using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(leaving.Token));
                while (await reader.ReadLineAsync(leaving.Token) is string line)
                {
                    if (line.Length == 0)
                    {
                        continue;
                    }

                    string data = line["data: ".Length..];
                    if (data == "[DONE]")
                    {
                        isDone = true;
                        break;
                    }

                    text.Append((string?)JsonNode.Parse(data)!["choices"]?.AsArray().FirstOrDefault()?["text"]);
                    if (++pieces >= leaveAfter)
                    {
                        break;
                    }

                    if (behaviour == Behaviour.ReadSlowly)
                    {
                        await Task.Delay(random.Next(40), leaving.Token);
                    }
                }
            }
            else
            {
                text.Append((string?)JsonNode.Parse(await response.Content.ReadAsStringAsync(leaving.Token))!["choices"]![0]!["text"]);
                isDone = true;
            }
        }
        catch (OperationCanceledException) when (leaving.IsCancellationRequested)
        {
        }

        string whole = text.ToString();
        if (isDone && whole == test.Text)
        {
            return Outcome.Right;
        }

        return !isDone && test.Text.StartsWith(whole, StringComparison.Ordinal) && behaviour is Behaviour.LeaveInTime or Behaviour.LeaveInAnswer
            ? Outcome.Left
            : throw new SoakFailure($"{test.Schedule}, {test.Request.Tokens.Length} tokens, {behaviour}: '{whole}' instead of '{test.Text}'.");
    }

    public async Task<long?> BytesInUseAsync()
    {
        return await MetricsAsync() is not string metrics ? null : (long)Metric(metrics, "lazyllm_scheduler_memory_in_use_bytes");
    }

    public async Task CheckEmptyAsync()
    {
        // The server learns of the last disconnections a moment later.
        for (int i = 0; await MetricsAsync() is string metrics; i++)
        {
            (double waiting, double running) = (Metric(metrics, "lazyllm_requests_waiting"), Metric(metrics, "lazyllm_requests_running"));
            double promised = Metric(metrics, "lazyllm_scheduler_memory_promised_bytes") - Metric(metrics, "lazyllm_scheduler_memory_in_use_bytes");
            if (waiting == 0 && running == 0 && promised == 0)
            {
                break;
            }

            if (i == 50)
            {
                throw new SoakFailure($"After everybody has left, {running} requests run, {waiting} wait, and {promised} bytes are promised to them.");
            }

            await Task.Delay(100);
        }

        using HttpResponseMessage health = await _client.GetAsync(new Uri("/health", UriKind.Relative));
        if (health.StatusCode != HttpStatusCode.OK)
        {
            throw new SoakFailure($"/health says {(int)health.StatusCode}.");
        }
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        if (!_process.HasExited)
        {
            // SIGTERM, as a supervisor would.
            using Process? kill = OperatingSystem.IsWindows() ? null : Process.Start("kill", ["-TERM", $"{_process.Id}"]);
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            try
            {
                await _process.WaitForExitAsync(patience.Token);
                Console.WriteLine($"the server ended with exit code {_process.ExitCode}");
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
                throw new SoakFailure("The server did not end after SIGTERM.");
            }
        }

        _process.Dispose();
    }

    private static StringContent Body(SoakCase test, bool isStreamed)
    {
        var body = new JsonObject
        {
            ["prompt"] = new JsonArray([.. test.Request.Tokens.ToArray().Select(t => (JsonNode)t)]),
            ["max_tokens"] = test.Request.Sampling.MaxTokens,
            ["temperature"] = test.Request.Sampling.Temperature,
            ["seed"] = (long)test.Request.Sampling.Seed!.Value,
            ["pruning"] = test.Schedule,
            ["shared_prefix"] = test.Request.SharedPrefix,
            ["ignore_eos"] = true,
            ["stream"] = isStreamed,
        };
        return new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
    }

    private async Task<Outcome> AskWronglyAsync(int kind)
    {
        string body = kind switch
        {
            0 => "{\"prompt\": [",
            1 => "{\"prompt\": [1, -5], \"max_tokens\": 4}",
            2 => "{\"prompt\": \"x\", \"max_tokens\": -4}",
            3 => "{\"prompt\": \"x\", \"temperature\": \"hot\"}",
            4 => $"{{\"prompt\": [{string.Join(',', Enumerable.Repeat(7, 5_000))}]}}",
            _ => "{\"prompt\": \"x\", \"pruning\": \"99:0.5\"}",
        };
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await _client.PostAsync(new Uri("/v1/completions", UriKind.Relative), content);
        return response.StatusCode == HttpStatusCode.BadRequest && JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement.TryGetProperty("error", out _)
            ? Outcome.Refused
            : throw new SoakFailure($"A wrong request (kind {kind}) got {(int)response.StatusCode}.");
    }

    /// <summary>What <c>/metrics</c> says; null where the server has none.</summary>
    private async Task<string?> MetricsAsync()
    {
        using HttpResponseMessage response = await _client.GetAsync(new Uri("/metrics", UriKind.Relative));
        return response.StatusCode == HttpStatusCode.NotFound ? null : await response.EnsureSuccessStatusCode().Content.ReadAsStringAsync();
    }

    private static double Metric(string metrics, string name) => metrics.Split('\n')
        .Where(line => line.StartsWith(name, StringComparison.Ordinal) && (line[name.Length] is ' ' or '{'))
        .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], System.Globalization.CultureInfo.InvariantCulture));

    [GeneratedRegex(@"http://[0-9a-zA-Z.:\[\]]+\d")]
    private static partial Regex Listening();
}
