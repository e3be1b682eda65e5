using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Scheduling;

public sealed class SchedulerTests : IAsyncLifetime
{
    private static readonly string[] Schedules = ["none", "4:0.1", "4:0.3", "2:0.5,8:0.2", "paper"];

    private LlamaEngine _engine = null!;

    public async ValueTask InitializeAsync() => _engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });

    public ValueTask DisposeAsync()
    {
        _engine.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Requests_in_company_give_what_each_gives_alone_bit_for_bit()
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 20).Select(i => Request(20 + (37 * i % 300), Schedules[i % Schedules.Length], tokens: 5 + i, seed: i))];
        GeneratedToken[][] alone = [.. requests.Select(Alone)];
        using var scheduler = new Scheduler(_engine);
        GeneratedToken[][] together = await Task.WhenAll(requests.Select(r => Read(scheduler.Submit(r))));
        Assert.Equal(alone, together);
        AssertEmpty(scheduler);
    }

    [Theory]
    [InlineData("none")]
    [InlineData("4:0.1")]
    public async Task A_reused_prefix_changes_nothing_and_is_not_computed_again(string schedule)
    {
        using var scheduler = new Scheduler(_engine);
        GenerationRequest request = Request(200, schedule, tokens: 6) with { SharedPrefix = 150 };
        ScheduledAnswer first = scheduler.Submit(request);
        GeneratedToken[] expected = await Read(first);
        ScheduledAnswer second = scheduler.Submit(request);
        Assert.Equal(expected, await Read(second));
        Assert.Equal((0, 150), (first.ReusedTokens, second.ReusedTokens));
        Assert.True(second.Statistics!.ComputedPairs < first.Statistics!.ComputedPairs / 2);
        Assert.Equal(1, scheduler.Status.SavedPrefixes);

        using Session session = _engine.CreateSession(request.Schedule);
        session.Step(request.Tokens.Span[..150]);
        session.Append(request.Tokens.Span[150..]);
        Assert.Equal(expected, Blocking(session.GenerateAsync(request.Sampling)));
    }

    [Fact]
    public async Task A_full_queue_refuses_and_what_waits_still_runs()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { QueueLimit = 2, RunningLimit = 1, UnreadLimit = 1 });
        ScheduledAnswer running = scheduler.Submit(Request(20, "none", tokens: 4));
        await Until(() => running.GeneratedTokens > 0);
        ScheduledAnswer[] waiting = [scheduler.Submit(Request(9, "none", 2)), scheduler.Submit(Request(9, "none", 2))];
        Assert.Equal(2, Assert.Throws<QueueFullException>(() => scheduler.Submit(Request(9, "none", 2))).Limit);
        Assert.Equal(4, (await Read(running)).Length);
        Assert.All(await Task.WhenAll(waiting.Select(Read)), tokens => Assert.Equal(2, tokens.Length));
    }

    [Fact]
    public async Task A_slow_reader_holds_only_its_own_request_up()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { UnreadLimit = 3 });
        ScheduledAnswer slow = scheduler.Submit(Request(20, "none", tokens: 40));
        await Until(() => slow.GeneratedTokens == 3);
        Assert.Equal(30, (await Read(scheduler.Submit(Request(20, "none", tokens: 30)))).Length);
        Assert.Equal(3, slow.GeneratedTokens);
        Assert.Equal(Alone(slow.Request), await Read(slow));
    }

    [Fact]
    public async Task Ending_a_request_anywhere_touches_no_other_and_returns_its_memory()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 3, UnreadLimit = 200 });
        GenerationRequest lasting = Request(60, "4:0.1", tokens: 150);
        Task<GeneratedToken[]> survivor = Read(scheduler.Submit(lasting));
        using var cancellation = new CancellationTokenSource();
        ScheduledAnswer decoding = scheduler.Submit(Request(30, "none", tokens: 2_000), cancellation.Token);
        await Until(() => decoding.GeneratedTokens > 2);
        ScheduledAnswer prefilling = scheduler.Submit(Request(1_800, "none", tokens: 100), cancellation.Token);
        ScheduledAnswer waiting = scheduler.Submit(Request(9, "none", 2), cancellation.Token);
        await Until(() => prefilling.PrefillLayers > 0);
        await cancellation.CancelAsync();
        foreach (ScheduledAnswer answer in new[] { decoding, prefilling, waiting })
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Read(answer));
            await answer.DisposeAsync();
            Assert.Equal(RequestState.Ended, answer.State);
        }

        Assert.Equal(Alone(lasting), await survivor);
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task Time_limits_hold_also_in_the_queue()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 1, UnreadLimit = 1 });
        ScheduledAnswer stuck = scheduler.Submit(Request(9, "none", 50));
        ScheduledAnswer waiting = scheduler.Submit(Request(9, "none", 2) with { TimeLimit = TimeSpan.FromMilliseconds(30) });
        Assert.Equal("waiting", (await Assert.ThrowsAsync<TimeLimitException>(() => Read(waiting))).State);
        await stuck.DisposeAsync();
        ScheduledAnswer slow = scheduler.Submit(Request(9, "none", 50) with { TimeLimit = TimeSpan.FromMilliseconds(200) });
        await Until(() => slow.State == RequestState.Ended);
        Assert.Equal("decode", (await Assert.ThrowsAsync<TimeLimitException>(() => Read(slow))).State);
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task Memory_is_promised_before_a_request_runs()
    {
        using var wide = new Scheduler(_engine);
        long need = wide.Submit(Request(400, "none", 8)).PromisedBytes;
        Assert.True(wide.Submit(Request(400, "4:0.1", 8)).PromisedBytes < need);

        using var narrow = new Scheduler(_engine, new SchedulerOptions { MemoryBudget = need + (need / 2), PrefixBudget = 0, UnreadLimit = 1 });
        ScheduledAnswer first = narrow.Submit(Request(400, "none", 8));
        ScheduledAnswer second = narrow.Submit(Request(400, "none", 8));
        await Until(() => first.GeneratedTokens > 0);
        Assert.Equal(RequestState.Waiting, second.State);
        Assert.Equal(8, (await Read(first)).Length);
        Assert.Equal(8, (await Read(second)).Length);
        Assert.Throws<DeviceMemoryException>(() => narrow.Submit(Request(1_900, "none", 100)));
    }

    [Fact]
    public void What_cannot_be_served_is_refused_at_once()
    {
        using var scheduler = new Scheduler(_engine);
        Assert.Equal(2_048, Assert.Throws<ContextLengthException>(() => scheduler.Submit(Request(2_049, "none", 1))).Limit);
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(0, "none", 1)));
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(4, "none", 1) with { SharedPrefix = 4 }));
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(4, "12:0.5", 1)));
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(4, "none", 1) with { Tokens = new[] { 1_536 } }));
        Assert.Throws<OperationCanceledException>(() => scheduler.Submit(Request(4, "none", 1), new CancellationToken(true)));
    }

    [Fact]
    public async Task Stopping_drains_and_then_cancels()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { UnreadLimit = 8 });
        Task<GeneratedToken[]> finishing = Read(scheduler.Submit(Request(20, "none", 20)));
        ScheduledAnswer stuck = scheduler.Submit(Request(20, "none", 20));
        using var patience = new CancellationTokenSource();
        Task stopping = scheduler.StopAsync(patience.Token);
        Assert.Throws<ObjectDisposedException>(() => scheduler.Submit(Request(4, "none", 1)));
        Assert.Equal(20, (await finishing).Length);
        Assert.False(stopping.IsCompleted);
        await patience.CancelAsync();
        await stopping;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Read(stuck));
    }

    [Fact]
    public async Task A_traced_request_tells_what_its_prefill_saw()
    {
        using var scheduler = new Scheduler(_engine);
        ScheduledAnswer answer = scheduler.Submit(Request(100, "4:0.1", 2) with { Tracing = true });
        await Read(answer);
        Assert.Equal([100, 10], answer.PrefillTrace!.Stages.Select(s => s.Kept.Length));
        Assert.True(answer.Statistics!.TimeToFirstToken >= answer.QueueTime);
    }

    private static GenerationRequest Request(int length, string schedule, int tokens, int seed = 0)
    {
        var random = new Random(seed + length);
        return new GenerationRequest
        {
            Tokens = Enumerable.Range(0, length).Select(i => i == 0 ? 1 : random.Next(260, 1_536)).ToArray(),
            Schedule = PruningSchedule.Parse(schedule),
            Sampling = new SamplingOptions { Temperature = seed % 2, Seed = (ulong)seed, MaxTokens = tokens, IgnoreEndTokens = true },
        };
    }

    private static async Task<GeneratedToken[]> Read(ScheduledAnswer answer)
    {
        var tokens = new List<GeneratedToken>();
        await foreach (GeneratedToken token in answer.ReadAllAsync())
        {
            tokens.Add(token);
        }

        return [.. tokens];
    }

    private static GeneratedToken[] Blocking(IAsyncEnumerable<GeneratedToken> tokens) => [.. tokens.ToBlockingEnumerable()];

    private static async Task Until(Func<bool> condition)
    {
        while (!condition())
        {
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }
    }

    private static void AssertEmpty(Scheduler scheduler)
    {
        SchedulerStatus status = scheduler.Status;
        Assert.Equal((0, 0, 0L, 0L), (status.Waiting, status.Running, status.MemoryInUse, status.MemoryPromised));
    }

    private GeneratedToken[] Alone(GenerationRequest request)
    {
        using Session session = _engine.CreateSession(request.Schedule);
        session.Append(request.Tokens.Span);
        return Blocking(session.GenerateAsync(request.Sampling));
    }
}
