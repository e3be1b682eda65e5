using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Tests.Http;

public sealed class LimitsTests
{
    private const string Path = "/v1/completions";
    private const string Short = """{"prompt":"a","max_tokens":1}""";

    [Fact]
    public async Task A_body_of_a_gigabyte_is_refused_without_reading_it()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        using TcpClient told = await ConnectAsync(server);
        await told.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"POST {Path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {1 << 30}\r\n\r\n"));
        Assert.StartsWith("HTTP/1.1 413 ", await FirstAsync(told), StringComparison.Ordinal);

        // In chunks nobody knows the length before.
        using TcpClient chunked = await ConnectAsync(server);
        await chunked.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"POST {Path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"));
        byte[] chunk = Encoding.ASCII.GetBytes($"10000\r\n{new string(' ', 0x10000)}\r\n");
        long sent = 0;
        try
        {
            for (; sent < 1 << 30; sent += 0x10000)
            {
                await chunked.GetStream().WriteAsync(chunk);
            }
        }
        catch (IOException)
        {
            // The server has hung up.
        }

        Assert.InRange(sent, 4 << 20, 64 << 20);
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
    }

    [Fact]
    public async Task A_body_that_does_not_end_in_its_time_is_refused()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { BodyTimeLimit = TimeSpan.FromSeconds(0.2) });
        using TcpClient trickle = await ConnectAsync(server);
        await trickle.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"POST {Path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"));
        Assert.StartsWith("HTTP/1.1 408 ", await FirstAsync(trickle), StringComparison.Ordinal);
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_request_beyond_the_queue_is_told_to_come_again(bool streams)
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { Scheduling = new SchedulerOptions { RunningLimit = 1, QueueLimit = 2 } });
        const string endless = """{"prompt":"a","max_tokens":2000,"ignore_eos":true,"stream":true}""";
        using TcpClient running = await server.SendAsync(Path, endless);
        await server.UntilAsync(status => status.Running == 1);
        using TcpClient first = await server.SendAsync(Path, endless);
        using TcpClient second = await server.SendAsync(Path, endless);
        await server.UntilAsync(status => status.Waiting == 2);
        using HttpResponseMessage refused = await server.PostAsync(Path[1..], $$"""{"prompt":"a","stream":{{(streams ? "true" : "false")}}}""");
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.True(refused.Headers.RetryAfter!.Delta > TimeSpan.Zero);
        JsonElement error = JsonDocument.Parse(await refused.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal(("rate_limit_error", "queue_full"), (error.GetProperty("type").GetString(), error.GetProperty("code").GetString()));

        // Of several answers that do not all find a place none stays.
        running.Dispose();
        await server.UntilAsync(status => status is { Running: 1, Waiting: 1 });
        Assert.Equal(429, (await server.AskAsync(Path[1..], """{"prompt":"b","n":3}""")).Status);
        Assert.Equal(1, server.Server.Scheduler.Status.Waiting);
    }

    [Fact]
    public async Task A_request_that_can_never_have_the_memory_is_refused_for_good()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { Scheduling = new SchedulerOptions { MemoryBudget = 8 << 20 } });
        using HttpResponseMessage refused = await server.PostAsync(Path[1..], $$"""{"prompt":[{{string.Join(',', Enumerable.Repeat(5, 1_500))}}],"max_tokens":500}""");
        JsonElement error = JsonDocument.Parse(await refused.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal((HttpStatusCode.BadRequest, "exceeds_memory"), (refused.StatusCode, error.GetProperty("code").GetString()));
        Assert.Null(refused.Headers.RetryAfter);
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
    }

    [Fact]
    public async Task A_request_that_takes_too_long_ends_with_504_and_a_stream_with_the_error()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { TimeLimit = TimeSpan.FromSeconds(0.3) });
        const string body = """{"prompt":"a","max_tokens":2000,"ignore_eos":true,"n":16""";
        (int status, JsonElement answer) = await server.AskAsync(Path[1..], $"{body}}}");
        Assert.Equal((504, "time_limit"), (status, answer.GetProperty("error").GetProperty("code").GetString()));
        using HttpResponseMessage stream = await server.PostAsync(Path[1..], body + ""","stream":true}""");
        string[] events = (await stream.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("time_limit", events[^1], StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", events[^1], StringComparison.Ordinal);
        await server.UntilAsync(s => s is { Running: 0, MemoryInUse: 0 });
    }

    [Fact]
    public async Task A_thousand_connections_are_served_and_what_is_too_many_is_told_so()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        TcpClient[] clients = [.. await Task.WhenAll(Enumerable.Range(0, 1_000).Select(_ => ConnectAsync(server)))];
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
        byte[] request = Encoding.ASCII.GetBytes($"POST {Path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {Short.Length}\r\n\r\n{Short}");
        await Task.WhenAll(clients.Select(client => client.GetStream().WriteAsync(request).AsTask()));
        string[] answers = await Task.WhenAll(clients.Select(FirstAsync));
        Array.ForEach(clients, client => client.Dispose());
        Assert.All(answers, answer => Assert.Matches("^HTTP/1.1 (200|429) ", answer));
        Assert.Contains(answers, answer => answer.StartsWith("HTTP/1.1 200", StringComparison.Ordinal));
        await server.UntilAsync(status => status is { Running: 0, Waiting: 0, MemoryInUse: 0 });
    }

    [Fact]
    public async Task Connections_beyond_the_limit_are_closed_and_the_others_stay()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ConnectionLimit = 3 });
        TcpClient[] clients = [await ConnectAsync(server), await ConnectAsync(server)];
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
        using TcpClient tooMany = await ConnectAsync(server);
        Assert.Equal("", await FirstAsync(tooMany));
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
        Array.ForEach(clients, client => client.Dispose());
    }

    [Fact]
    public async Task A_reader_that_does_not_read_holds_up_nobody_and_leaves_nothing()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        using TcpClient slow = await server.SendAsync(Path, """{"prompt":"a","max_tokens":2000,"ignore_eos":true,"stream":true,"n":8}""");
        await server.UntilAsync(status => status.Requests.Any(answer => answer.GeneratedTokens > 20));
        for (int i = 0; i < 5; i++)
        {
            Assert.Equal(200, (await server.AskAsync(Path[1..], """{"prompt":"Mira keeps","max_tokens":4}""")).Status);
        }

        slow.Dispose();
        await server.UntilAsync(status => status is { Running: 0, MemoryInUse: 0 });
    }

    [Fact]
    public async Task A_reader_that_stops_reading_loses_its_place()
    {
        // Events of 8 KiB, so that few tokens fill every buffer on the way.
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions
        {
            ModelName = new string('m', 8_192),
            ReaderTimeLimit = TimeSpan.FromSeconds(0.2),
            Scheduling = new SchedulerOptions { RunningLimit = 2 },
        });
        using TcpClient stalled = await server.SendAsync(Path, """{"prompt":"a","max_tokens":2000,"ignore_eos":true,"stream":true,"n":2}""");
        await server.UntilAsync(status => status.Running == 2);
        ScheduledAnswer[] answers = [.. server.Server.Scheduler.Status.Requests];
        await server.UntilAsync(status => status is { Running: 0, Waiting: 0, MemoryInUse: 0 });
        Assert.All(answers, answer => Assert.IsAssignableFrom<OperationCanceledException>(answer.Failure));
        Assert.Equal(200, (await server.AskAsync(Path[1..], Short)).Status);
    }

    private static async Task<TcpClient> ConnectAsync(DemoServer server)
    {
        var client = new TcpClient();
        await client.ConnectAsync(server.Server.Address.Host, server.Server.Address.Port);
        return client;
    }

    /// <summary>What comes first; empty where the server hangs up.</summary>
    private static async Task<string> FirstAsync(TcpClient client)
    {
        byte[] buffer = new byte[4_096];
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        try
        {
            return Encoding.UTF8.GetString(buffer, 0, await client.GetStream().ReadAsync(buffer, patience.Token));
        }
        catch (IOException)
        {
            return "";
        }
    }
}
