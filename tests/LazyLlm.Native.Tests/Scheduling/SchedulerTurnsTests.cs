using LazyLlm.Native.Backends;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using Xunit;
using static LazyLlm.Native.Tests.Scheduling.SchedulerCases;

namespace LazyLlm.Native.Tests.Scheduling;

/// <summary>Who gets which turn, counted in layers; what ends a request in each state; and what failures do to others.</summary>
public sealed class SchedulerTurnsTests : IDisposable
{
    private const int Layers = 6;

    private readonly LlamaEngine _engine;
    private readonly ObservedOperations _operations;

    public SchedulerTurnsTests() => (_engine, _operations) = Observed();

    public static TheoryData<RequestState> States => [RequestState.Waiting, RequestState.Prefill, RequestState.Decode];

    public void Dispose() => _engine.Dispose();

    [Fact]
    public async Task Between_two_tokens_there_is_one_layer_of_a_prompt_and_one_step_of_each_group()
    {
        // Two answers under one schedule share passes of two rows; a third goes in passes of its own; prompts have many rows.
        var log = new List<(int Rows, int Layer)>();
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { UnreadLimit = 1_000 });

        // The engine waits until all three are there, and again, once all have begun to answer, until the prompts are.
        using ManualResetEventSlim submitted = new(), answering = new(), prompted = new();
        ScheduledAnswer[] decoding = [];
        _operations.Before = (operation, rows, layer) =>
        {
            submitted.Wait(TestContext.Current.CancellationToken);
            if (!answering.IsSet && decoding.All(a => a.GeneratedTokens > 2))
            {
                answering.Set();
                prompted.Wait(TestContext.Current.CancellationToken);
            }

            if (prompted.IsSet && operation == nameof(Projection.QueryKeyValue))
            {
                log.Add((rows, layer));
            }
        };
        decoding = [scheduler.Submit(Request(9, "none", 200)), scheduler.Submit(Request(9, "none", 200)), scheduler.Submit(Request(9, "2:1", 200))];
        submitted.Set();
        await Until(() => answering.IsSet);
        int[] before = [.. decoding.Select(a => a.GeneratedTokens)];
        ScheduledAnswer[] prompts = [.. Enumerable.Range(0, 4).Select(i => scheduler.Submit(Request(100 + (50 * i), "none", 1)))];
        prompted.Set();
        await Task.WhenAll(prompts.Select(Read));
        _operations.Before = null;
        Assert.All(decoding.Zip(before), pair => Assert.InRange(pair.First.GeneratedTokens, pair.Second + (4 * Layers) - 1, 199));

        // Four prompts of six layers, each layer in a turn of its own, and between them a whole step of both groups.
        int[] prefillTurns = [.. Enumerable.Range(0, log.Count).Where(i => log[i].Rows >= 100)];
        Assert.Equal(4 * Layers, prefillTurns.Length);
        foreach ((int turn, int next) in prefillTurns.Zip(prefillTurns.Skip(1)))
        {
            (int Rows, int Layer)[] between = [.. log[(turn + 1)..next]];
            Assert.Equal(0, between.Length % (2 * Layers));
            Assert.True(between.Length >= 2 * Layers, "A prompt took two layers in a row while answers waited for their tokens.");
            Assert.Equal(between.Count(b => b.Rows == 2), between.Count(b => b.Rows == 1));
        }

        // Two prompts are open at a time and take turns; the next one opens when the first is done.
        Assert.Equal([100, 150, 100, 150, 100, 150, 100, 150, 100, 150, 100, 200], prefillTurns.Take(2 * Layers).Select(i => log[i].Rows));
        await Task.WhenAll(decoding.Select(a => a.DisposeAsync().AsTask()));
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task Nobody_starves_however_many_come()
    {
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 2, PrefillLimit = 1 });
        Task<GeneratedToken[]> first = Read(scheduler.Submit(Request(300, "none", 3)));
        var ends = new List<Task<GeneratedToken[]>>();
        for (int i = 0; i < 30; i++)
        {
            ends.Add(Read(scheduler.Submit(Request(5, "none", 2, i))));
        }

        Task<GeneratedToken[]> large = Read(scheduler.Submit(Request(500, "none", 3)));
        ends.AddRange(Enumerable.Range(0, 30).Select(i => Read(scheduler.Submit(Request(5, "none", 2, i)))));
        Assert.Equal(3, (await first).Length);
        Assert.Equal(3, (await large).Length);
        Assert.All(await Task.WhenAll(ends), tokens => Assert.Equal(2, tokens.Length));
    }

    [Theory]
    [MemberData(nameof(States))]
    public async Task A_time_limit_holds_in_every_state(RequestState state)
    {
        var limit = TimeSpan.FromMilliseconds(40);
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = state == RequestState.Waiting ? 1 : 2, UnreadLimit = 1 });
        await using ScheduledAnswer other = scheduler.Submit(Request(9, "none", 50));
        await Until(() => other.GeneratedTokens == 1);
        if (state == RequestState.Prefill)
        {
            // The second of its layers takes longer than the request may.
            _operations.Before = (_, rows, layer) => Thread.Sleep(rows == 200 && layer == 1 ? limit : TimeSpan.Zero);
        }

        ScheduledAnswer late = scheduler.Submit(Request(200, "2:0.3", 50) with { TimeLimit = state == RequestState.Decode ? TimeSpan.FromMilliseconds(400) : limit });
        TimeLimitException error;
        if (state == RequestState.Decode)
        {
            // Nobody reads, so that it stands after one token.
            await Until(() => late.State == RequestState.Ended);
        }

        error = await Assert.ThrowsAsync<TimeLimitException>(() => Read(late));
        Assert.Equal(state.ToString().ToLowerInvariant(), error.State);
        _operations.Before = null;
        Task<GeneratedToken[]> survivor = Read(other);
        Assert.Equal(Alone(_engine, other.Request), await survivor);
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task A_request_can_be_cancelled_before_every_layer_and_token_and_touches_no_other()
    {
        GenerationRequest lasting = Request(60, "2:0.3", 60);
        GenerationRequest leaving = Request(101, "2:0.6,4:0.3", 4);
        GeneratedToken[] expected = Alone(_engine, lasting);
        for (int point = 0; point < Layers + 3; point++)
        {
            using var scheduler = new Scheduler(_engine, new SchedulerOptions { UnreadLimit = 100 });
            using var cancellation = new CancellationTokenSource();
            Task<GeneratedToken[]> survivor = Read(scheduler.Submit(lasting));
            ScheduledAnswer answer = null!;
            var submitted = new ManualResetEventSlim();
            int seen = 0;
            _operations.Before = (operation, rows, layer) =>
            {
                if (operation == nameof(Projection.QueryKeyValue))
                {
                    submitted.Wait(TestContext.Current.CancellationToken);
                    int reached = answer.PrefillLayers + answer.GeneratedTokens;
                    if (reached >= point && seen++ == 0)
                    {
                        cancellation.Cancel();
                    }
                }
            };
            answer = scheduler.Submit(leaving, cancellation.Token);
            submitted.Set();
            OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Read(answer));
            Assert.Equal(cancellation.Token, error.CancellationToken);
            await answer.DisposeAsync();
            _operations.Before = null;
            Assert.Equal(expected, await survivor);
            AssertEmpty(scheduler);
        }
    }

    [Fact]
    public async Task A_failed_operation_ends_only_whom_it_must()
    {
        GenerationRequest[] requests = [Request(40, "none", 6), Request(25, "none", 5, 1), Request(50, "2:0.3", 6, 2), Request(12, "2:0.3", 4, 3)];
        GeneratedToken[][] alone = [.. requests.Select(r => Alone(_engine, r))];
        using var scheduler = new Scheduler(_engine);
        int failed = 0;
        int spared = 0;
        for (int n = 1; ; n += 1 + (n / 20))
        {
            int left = n;
            _operations.Before = (operation, _, _) =>
            {
                if (Interlocked.Decrement(ref left) == 0)
                {
                    throw new DeviceMemoryException(operation, 1, 0, "This is a test.");
                }
            };
            int failures = await RunWhileFailing(scheduler, requests, alone);
            _operations.Before = null;
            Assert.InRange(failures, 0, 1);
            failed += failures;
            if (left > 0)
            {
                break;
            }

            spared += 1 - failures;
        }

        // A shared step is tried again one by one; a prompt ends with its error.
        Assert.True(failed > 10 && spared > 10, $"{failed} requests failed, {spared} failures cost nobody anything.");
        Assert.Equal(alone, await Task.WhenAll(requests.Select(r => Read(scheduler.Submit(r)))));
    }

    [Fact]
    public async Task A_request_that_fails_again_ends_and_those_it_shared_passes_with_go_on()
    {
        GenerationRequest[] requests = [Request(40, "none", 12), Request(100, "none", 12, 1), Request(200, "none", 12, 2)];
        GeneratedToken[][] alone = [.. requests.Select(r => Alone(_engine, r))];
        using var scheduler = new Scheduler(_engine);

        // The second request's fourth decode step fails whenever it is tried.
        _operations.Before = (operation, _, position) =>
        {
            if (operation == nameof(IOperations.Embed) && position == 103)
            {
                throw new DeviceMemoryException("the Aux cache", 1, 0, "This is a test.");
            }
        };
        ScheduledAnswer[] answers = [.. requests.Select(r => scheduler.Submit(r))];
        Task<GeneratedToken[]>[] survivors = [Read(answers[0]), Read(answers[2])];
        await Assert.ThrowsAsync<DeviceMemoryException>(() => Read(answers[1]));
        Assert.Equal(4, answers[1].GeneratedTokens);
        Assert.Equal([alone[0], alone[2]], await Task.WhenAll(survivors));
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task Bad_logits_end_their_request_alone()
    {
        GenerationRequest[] requests = [Request(40, "none", 12), Request(30, "none", 12, 1), Request(20, "none", 12, 2)];
        GeneratedToken[][] alone = [.. requests.Select(r => Alone(_engine, r))];
        using var scheduler = new Scheduler(_engine);
        int left = 1;
        using var submitted = new ManualResetEventSlim();
        _operations.Before = (operation, index, _) =>
        {
            // They share passes only if none has ended before another has come.
            submitted.Wait();
            if (operation == nameof(IOperations.ReadLogits) && index == 1 && Interlocked.Decrement(ref left) == 0)
            {
                throw new InvalidLogitsException("This is a test.");
            }
        };
        int failed = 0;
        ScheduledAnswer[] answers = [.. requests.Select(request => scheduler.Submit(request))];
        submitted.Set();
        await Task.WhenAll(answers.Select(async (answer, i) =>
        {
            try
            {
                Assert.Equal(alone[i], await Read(answer));
            }
            catch (InvalidLogitsException)
            {
                Interlocked.Increment(ref failed);
            }
        }));
        Assert.Equal(1, failed);
        AssertEmpty(scheduler);
    }

    [Fact]
    public async Task A_lost_device_ends_every_request_and_refuses_the_next_at_once()
    {
        var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 4, UnreadLimit = 3 });
        ScheduledAnswer[] running = [.. Enumerable.Range(0, 3).Select(i => scheduler.Submit(Request(20, i == 0 ? "none" : "2:0.3", 30)))];
        await Until(() => running.All(a => a.GeneratedTokens == 3));
        var lost = new DeviceLostException("cuTest", 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "illegal address", "a test", "Start again.");
        using var submitted = new ManualResetEventSlim();
        _operations.Before = (_, rows, layer) =>
        {
            if (rows == 200 && layer == 2)
            {
                // Not before all are there: none is taken any more afterwards.
                submitted.Wait(TestContext.Current.CancellationToken);
                _operations.Fault = lost;
            }

            if (_operations.Fault is DeviceLostException fault)
            {
                throw fault.Repeat();
            }
        };
        ScheduledAnswer[] others = [.. Enumerable.Range(0, 4).Select(_ => scheduler.Submit(Request(200, "none", 4)))];
        submitted.Set();
        foreach (ScheduledAnswer answer in running.Concat(others))
        {
            Assert.Equal(700, (await Assert.ThrowsAsync<DeviceLostException>(() => Read(answer))).Code);
        }

        Assert.Same(lost, scheduler.Fault);
        Assert.Same(lost, _engine.Fault);
        Assert.Throws<DeviceLostException>(() => scheduler.Submit(Request(4, "none", 1)));
        AssertEmpty(scheduler);
        await scheduler.StopAsync(TestContext.Current.CancellationToken);
        scheduler.Dispose();
    }
}
