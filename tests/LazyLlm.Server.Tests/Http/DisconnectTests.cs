using System.Net.Sockets;
using System.Text.Json;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Tests.Http;

/// <summary>A client that leaves ends its own request, wherever that stands, and no other; what it held returns.</summary>
public sealed class DisconnectTests : IAsyncLifetime
{
    private const string Path = "/v1/completions";

    private static readonly string Long = string.Join(',', Enumerable.Repeat(5, 1_900));
    private static readonly string Companion = """{"prompt":"Mira keeps the lamp in the attic.","max_tokens":400,"ignore_eos":true,"temperature":1,"seed":1}""";

    private DemoServer _server = null!;

    public async ValueTask InitializeAsync() =>
        _server = await DemoServer.StartAsync(new LlamaServerOptions { Scheduling = new SchedulerOptions { RunningLimit = 2 } });

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task During_prefill(bool streams) => await LeaveAsync(
        $$"""{"prompt":[{{Long}}],"max_tokens":40,"stream":{{(streams ? "true" : "false")}}}""",
        answer => answer is { State: RequestState.Prefill, PrefillLayers: > 0 },
        answer => Assert.Equal(0, answer.GeneratedTokens));

    [Fact]
    public async Task Before_the_first_byte_of_a_whole_answer() => await LeaveAsync(
        """{"prompt":"Mira keeps","max_tokens":2000,"ignore_eos":true}""",
        answer => answer.GeneratedTokens > 3,
        answer => Assert.InRange(answer.GeneratedTokens, 4, 1_999));

    [Fact]
    public async Task In_the_middle_of_a_stream() => await LeaveAsync(
        """{"prompt":"Mira keeps","max_tokens":2000,"ignore_eos":true,"stream":true}""",
        answer => answer.GeneratedTokens > 3,
        answer => Assert.InRange(answer.GeneratedTokens, 4, 1_999),
        reads: true);

    [Fact]
    public async Task In_a_comparison() => await LeaveAsync(
        """{"prompt":"Mira keeps the lamp","maxTokens":1000,"pruning":"4:0.5"}""",
        answer => answer.GeneratedTokens > 3,
        answer => Assert.InRange(answer.GeneratedTokens, 4, 999),
        path: "/monitor/compare");

    [Fact]
    public async Task While_queued()
    {
        string alone = await AnswerAsync();
        Task<string> companion = AnswerAsync();
        using TcpClient other = await _server.SendAsync(Path, """{"prompt":"The old fox","max_tokens":2000,"ignore_eos":true,"stream":true}""");
        await _server.UntilAsync(status => status.Running == 2);
        TcpClient[] waiting = [.. await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => _server.SendAsync(Path, """{"prompt":"a","max_tokens":2000}""")))];
        await _server.UntilAsync(status => status.Waiting == 3);
        Array.ForEach(waiting, client => client.Dispose());
        await _server.UntilAsync(status => status.Waiting == 0);
        other.Dispose();
        Assert.Equal(alone, await companion);
        await _server.UntilAsync(IsAtRest);
    }

    private static bool IsAtRest(SchedulerStatus status) => status is { Running: 0, Waiting: 0, MemoryInUse: 0, MemoryPromised: 0, KeyValueBytes: 0, AuxBytes: 0 };

    private async Task LeaveAsync(string body, Func<ScheduledAnswer, bool> moment, Action<ScheduledAnswer> check, bool reads = false, string path = Path)
    {
        string alone = await AnswerAsync();
        using TcpClient leaver = await _server.SendAsync(path, body);
        ScheduledAnswer? left = null;
        await _server.UntilAsync(status => (left = status.Requests.SingleOrDefault(moment)) is not null);
        Task<string> companion = AnswerAsync();
        await _server.UntilAsync(status => status.Running == 2 || left!.State == RequestState.Ended);
        if (reads)
        {
            Assert.True(await leaver.GetStream().ReadAsync(new byte[100]) > 0);
        }

        leaver.Dispose();
        await _server.UntilAsync(_ => left!.State == RequestState.Ended);
        Assert.IsAssignableFrom<OperationCanceledException>(left!.Failure);
        Assert.Equal(FinishReason.None, left.Finish);
        check(left);
        Assert.Equal(alone, await companion);
        await _server.UntilAsync(IsAtRest);
    }

    private async Task<string> AnswerAsync()
    {
        (int status, JsonElement answer) = await _server.AskAsync(Path[1..], Companion);
        Assert.Equal(200, status);
        return $"{answer.GetProperty("choices")}";
    }
}
