using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using Xunit;
using static LazyLlm.Native.Tests.Scheduling.SchedulerCases;

namespace LazyLlm.Native.Tests.Scheduling;

/// <summary>What a request gets, and what it is refused.</summary>
public sealed class SchedulerTests : IAsyncLifetime
{
    private LlamaEngine _engine = null!;

    public async ValueTask InitializeAsync() => _engine = await LlamaEngine.LoadAsync(Model, new EngineOptions { Device = "cpu", Threads = 2 });

    public ValueTask DisposeAsync()
    {
        _engine.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Requests_in_company_give_what_each_gives_alone_bit_for_bit()
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 20).Select(i => Request(20 + (37 * i % 300), Schedules[i % Schedules.Length], tokens: 5 + i, seed: i))];
        GeneratedToken[][] alone = [.. requests.Select(r => Alone(_engine, r))];
        using var scheduler = new Scheduler(_engine);
        GeneratedToken[][] together = await Task.WhenAll(requests.Select(r => Read(scheduler.Submit(r))));
        Assert.Equal(alone, together);
        AssertEmpty(scheduler);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public Task Any_mix_of_requests_and_callers_gives_what_each_gives_alone(int seed) =>
        RandomMix(_engine, seed, count: 40, longestPrompt: 200, longestAnswer: 24);

    [Theory]
    [InlineData("none")]
    [InlineData("2:0.3")]
    public async Task A_reused_prefix_changes_nothing_and_is_not_computed_again(string schedule)
    {
        using var scheduler = new Scheduler(_engine);
        GenerationRequest request = Request(200, schedule, tokens: 6) with { SharedPrefix = 150 };
        ScheduledAnswer first = scheduler.Submit(request);
        GeneratedToken[] expected = await Read(first);
        ScheduledAnswer second = scheduler.Submit(request);
        Assert.Equal(expected, await Read(second));
        Assert.Equal((0, 150), (first.ReusedTokens, second.ReusedTokens));
        Assert.Equal(first.Statistics!.Stages[0].Computed - 150, second.Statistics!.Stages[0].Computed);
        Assert.True(second.Statistics.ComputedPairs < first.Statistics.ComputedPairs);
        Assert.Equal(1, scheduler.Status.SavedPrefixes);
        Assert.Equal(Alone(_engine, request), expected);
        AssertEmpty(scheduler);
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
        Assert.Equal(Alone(_engine, slow.Request), await Read(slow));
    }

    [Fact]
    public async Task A_reader_that_leaves_ends_its_request()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { UnreadLimit = 2 });
        ScheduledAnswer left = scheduler.Submit(Request(20, "2:0.3", tokens: 100));
        await foreach (GeneratedToken token in left.ReadAllAsync(TestContext.Current.CancellationToken))
        {
            break;
        }

        await Until(() => left.State == RequestState.Ended);
        ScheduledAnswer dropped = scheduler.Submit(Request(20, "2:0.3", tokens: 100));
        await ReadOne(dropped);
        int collections = 0;
        await Until(() =>
        {
            GC.Collect();
            return dropped.State == RequestState.Ended || ++collections == 1_000;
        });
        Assert.All((ScheduledAnswer[])[left, dropped], answer => Assert.IsAssignableFrom<OperationCanceledException>(answer.Failure));
        AssertEmpty(scheduler);

        // Without disposing anything.
        static async Task ReadOne(ScheduledAnswer answer) =>
            Assert.True(await answer.ReadAllAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator().MoveNextAsync());
    }

    [Fact]
    public async Task What_a_listener_throws_ends_nobody()
    {
        using var scheduler = new Scheduler(_engine);
        scheduler.Ended += _ => throw new InvalidOperationException("This is a test.");
        ScheduledAnswer cancelled = scheduler.Submit(Request(300, "none", tokens: 100));
        Task<GeneratedToken[]> finishing = Read(scheduler.Submit(Request(20, "none", tokens: 5)));
        await cancelled.DisposeAsync();
        Assert.Equal(5, (await finishing).Length);
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task Memory_is_promised_before_a_request_runs()
    {
        using var wide = new Scheduler(_engine);
        await using ScheduledAnswer dense = wide.Submit(Request(400, "none", 8));
        await using ScheduledAnswer pruned = wide.Submit(Request(400, "2:0.3", 8));
        long need = dense.PromisedBytes;
        Assert.True(pruned.PromisedBytes < need);

        using var narrow = new Scheduler(_engine, new SchedulerOptions { MemoryBudget = need + (need / 2), PrefixBudget = 0, UnreadLimit = 1 });
        ScheduledAnswer first = narrow.Submit(Request(400, "none", 8));
        ScheduledAnswer second = narrow.Submit(Request(400, "none", 8));
        await Until(() => first.GeneratedTokens > 0);
        Assert.Equal(RequestState.Waiting, second.State);
        Assert.True(narrow.Status.MemoryPromised >= need);
        Assert.Equal(8, (await Read(first)).Length);
        Assert.Equal(8, (await Read(second)).Length);
        AssertEmpty(narrow);

        DeviceMemoryException tooLarge = Assert.Throws<DeviceMemoryException>(() => narrow.Submit(Request(1_900, "none", 100)));
        Assert.Equal(narrow.MemoryBudget, tooLarge.AvailableBytes);
        Assert.Contains($"{tooLarge.RequestedBytes:N0} bytes are needed, {narrow.MemoryBudget:N0} are free", tooLarge.Message, StringComparison.Ordinal);
        Assert.True(tooLarge.RequestedBytes > narrow.MemoryBudget);
    }

    [Fact]
    public async Task A_large_request_is_not_passed_over_by_small_ones()
    {
        using var probe = new Scheduler(_engine);
        await using ScheduledAnswer measure = probe.Submit(Request(1_000, "none", 8));
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { MemoryBudget = measure.PromisedBytes, PrefixBudget = 0, UnreadLimit = 1 });
        ScheduledAnswer running = scheduler.Submit(Request(9, "none", 4));
        await Until(() => running.GeneratedTokens > 0);
        ScheduledAnswer large = scheduler.Submit(Request(1_000, "none", 8));
        ScheduledAnswer[] small = [.. Enumerable.Range(0, 5).Select(_ => scheduler.Submit(Request(9, "none", 4)))];
        Assert.Equal(4, (await Read(running)).Length);
        await Until(() => large.GeneratedTokens > 0);
        Assert.All(small, answer => Assert.Equal(RequestState.Waiting, answer.State));
        Assert.Equal(8, (await Read(large)).Length);
        Assert.All(await Task.WhenAll(small.Select(Read)), tokens => Assert.Equal(4, tokens.Length));
    }

    [Fact]
    public void What_cannot_be_served_is_refused_at_once()
    {
        using var scheduler = new Scheduler(_engine);
        Assert.Equal(2_048, Assert.Throws<ContextLengthException>(() => scheduler.Submit(Request(2_049, "none", 1))).Limit);
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(0, "none", 1)));
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(4, "none", 1) with { SharedPrefix = 4 }));
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(4, "6:0.5", 1)));
        Assert.Throws<InvalidOptionException>(() => scheduler.Submit(Request(4, "none", 1) with { Tokens = new[] { 160 } }));
        Assert.Throws<OperationCanceledException>(() => scheduler.Submit(Request(4, "none", 1), new CancellationToken(true)));
    }

    [Fact]
    public async Task An_answer_that_fills_the_context_says_so()
    {
        using LlamaEngine small = await LlamaEngine.LoadAsync(Model, new EngineOptions { Device = "cpu", Threads = 1, ContextLength = 24 });
        using var scheduler = new Scheduler(small);
        GeneratedToken[] tokens = await Read(scheduler.Submit(Request(20, "2:0.3", 100)));
        Assert.Equal((FinishReason.Context, 5), (tokens[^1].Finish, tokens.Length));
        Assert.Equal(FinishReason.Context, Assert.Single(await Read(scheduler.Submit(Request(24, "none", 100)))).Finish);
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
    public async Task The_engine_may_be_disposed_first()
    {
        LlamaEngine engine = await LlamaEngine.LoadAsync(Model, new EngineOptions { Device = "cpu", Threads = 1 });
        var scheduler = new Scheduler(engine, new SchedulerOptions { UnreadLimit = 2 });
        ScheduledAnswer running = scheduler.Submit(Request(20, "2:0.3", 10));
        await Until(() => running.GeneratedTokens == 2);
        ScheduledAnswer sharing = scheduler.Submit(Request(300, "2:0.3", 3) with { SharedPrefix = 200 });
        await Until(() => sharing.State >= RequestState.Prefill);
        engine.Dispose();
        Assert.Equal(Alone(_engine, sharing.Request), await Read(sharing));
        Assert.Equal(1, scheduler.Status.SavedPrefixes);
        Assert.Equal(Alone(_engine, running.Request), await Read(running));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => Read(scheduler.Submit(Request(4, "none", 1))));
        scheduler.Dispose();
        scheduler.Dispose();
    }

    [Fact]
    public async Task A_traced_request_tells_what_its_prefill_saw()
    {
        using var scheduler = new Scheduler(_engine);
        ScheduledAnswer answer = scheduler.Submit(Request(100, "2:0.1", 2) with { Tracing = true });
        await Read(answer);
        Assert.Equal([100, 10], answer.PrefillTrace!.Stages.Select(s => s.Kept.Length));
        Assert.True(answer.Statistics!.TimeToFirstToken >= answer.QueueTime);
    }
}
