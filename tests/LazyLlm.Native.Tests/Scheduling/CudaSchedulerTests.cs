using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using LazyLlm.Native.Tests.Backends.Cuda;
using Xunit;
using static LazyLlm.Native.Tests.Scheduling.SchedulerCases;

namespace LazyLlm.Native.Tests.Scheduling;

/// <summary>The scheduler over the CUDA backend: the same answers, memory that returns, and a device that fails or is lost.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class CudaSchedulerTests : IAsyncLifetime
{
    private const int OutOfMemory = 2;
    private const int OutOfResources = 701;
    private const int IllegalAddress = 700;

    private LlamaEngine _engine = null!;

    public static TheoryData<string, int> Faults => new()
    {
        { "alloc", OutOfMemory },
        { "map", OutOfMemory },
        { "pinned", OutOfMemory },
        { "graph", OutOfMemory },
        { "copy", OutOfMemory },
        { "launch", OutOfResources },
        { "sync", OutOfMemory },
    };

    public async ValueTask InitializeAsync()
    {
        CudaTestDevice.Require();
        _engine = await LlamaEngine.LoadAsync(Model, new EngineOptions { Device = "cuda", Precision = Precision.BFloat16, ContextLength = 512 });
    }

    public ValueTask DisposeAsync()
    {
        _engine.Dispose();
        if (!CudaTestDevice.IsGpu)
        {
            CudaTestDevice.Reset();
        }

        return ValueTask.CompletedTask;
    }

    [Fact]
    public Task Any_mix_of_requests_and_callers_gives_what_each_gives_alone() =>
        RandomMix(_engine, seed: 1, count: 9, longestPrompt: 40, longestAnswer: 6);

    [Fact]
    public async Task Recorded_stages_go_with_their_requests()
    {
        CudaTestDevice.RequireStandIn();
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 3, PrefixBudget = 0 });
        await Round(0);
        await Round(1);
        (long Bytes, long Pinned, long Objects) before = Held();
        for (int round = 2; round < 6; round++)
        {
            await Round(round);
        }

        Assert.Equal(before, Held());

        // Alone, so that stages are recorded and replayed; in company; and a prompt that is left: passes change hands.
        async Task Round(int seed)
        {
            await Read(scheduler.Submit(Request(8, "none", 5, seed)));
            ScheduledAnswer left = scheduler.Submit(Request(16, "2:0.6,4:0.3", 6, seed));
            await Task.WhenAll(Enumerable.Range(0, 2).Select(i => Read(scheduler.Submit(Request(8 + i, "2:0.3", 2 + (3 * i), seed)))));
            await left.DisposeAsync();
            AssertEmpty(scheduler);
        }
    }

    [Fact]
    public async Task Requests_are_admitted_by_what_the_device_rounds_their_memory_up_to()
    {
        // Two megabytes per stage and for the Aux cache are the least that a cache of this device takes.
        using var scheduler = new Scheduler(_engine, new SchedulerOptions { MemoryBudget = 13 << 20, PrefixBudget = 0, UnreadLimit = 1 });
        ScheduledAnswer[] answers = [.. Enumerable.Range(0, 4).Select(i => scheduler.Submit(Request(9, "2:0.3", 4, i)))];
        await Until(() => answers[0].GeneratedTokens > 0 && answers[1].GeneratedTokens > 0);
        Assert.Equal((2, 2), (scheduler.Status.Running, scheduler.Status.Waiting));
        Assert.InRange(scheduler.Status.MemoryInUse, 1, scheduler.Status.MemoryPromised);
        Assert.InRange(scheduler.Status.MemoryPromised, 1, scheduler.MemoryBudget);
        Assert.All(await Task.WhenAll(answers.Select(Read)), tokens => Assert.Equal(4, tokens.Length));
        AssertEmpty(scheduler);
    }

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task A_failed_call_ends_only_whom_it_must_and_leaks_nothing(string kind, int code)
    {
        CudaTestDevice.RequireStandIn();
        GenerationRequest[] requests = [Request(9, "2:0.3", 3), Request(12, "2:0.3", 3, 1)];
        GeneratedToken[][] alone = [.. requests.Select(r => Alone(_engine, r))];
        var scheduler = new Scheduler(_engine, new SchedulerOptions { PrefixBudget = 0 });
        int failed = 0;
        for (int n = 1; ; n += 1 + (n / 3))
        {
            CudaTestDevice.Set("fail." + kind, $"{n}:{code}");
            long calls = CudaTestDevice.Get("calls." + kind);
            int failures = await RunWhileFailing(scheduler, requests, alone);
            bool isThrough = CudaTestDevice.Get("calls." + kind) - calls < n;
            CudaTestDevice.Set("fail." + kind, "0");
            Assert.InRange(failures, 0, 1);
            failed += failures;
            if (isThrough)
            {
                break;
            }
        }

        Assert.True(failed > 0 || kind == "graph", $"No {kind} call ended a request: the test tests nothing.");
        Assert.Equal(0, await RunWhileFailing(scheduler, requests, alone));
        scheduler.Dispose();
        _engine.Dispose();
        Assert.Equal((0, 0, 0), Held());
    }

    [Theory]
    [InlineData("launch", 2)]
    [InlineData("launch", 190)]
    [InlineData("sync", 4)]
    [InlineData("alloc", 1)]
    public async Task A_lost_device_ends_every_request_and_refuses_the_next_at_once(string kind, int n)
    {
        CudaTestDevice.RequireStandIn();
        var scheduler = new Scheduler(_engine, new SchedulerOptions { RunningLimit = 4, UnreadLimit = 2 });
        ScheduledAnswer slow = scheduler.Submit(Request(20, "none", 30));
        await Until(() => slow.GeneratedTokens == 2);
        CudaTestDevice.Set("fail." + kind, $"{n}:{IllegalAddress}");
        DeviceLostException[] errors = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => Assert.ThrowsAsync<DeviceLostException>(
            () => i == 0 ? Read(slow) : Read(scheduler.Submit(Request(10 + (4 * i), i % 2 == 0 ? "none" : "2:0.3", 30, i) with { SharedPrefix = 5 })))));
        Assert.All(errors, error => Assert.Equal((IllegalAddress, scheduler.Fault!.Operation), (error.Code, error.Operation)));
        Assert.Throws<DeviceLostException>(() => scheduler.Submit(Request(4, "none", 1)));
        Assert.Equal((0, 0, 0L), (scheduler.Status.Waiting, scheduler.Status.Running, scheduler.Status.MemoryPromised - scheduler.Status.MemoryInUse));
        await scheduler.StopAsync(TestContext.Current.CancellationToken);
        scheduler.Dispose();
        _engine.Dispose();

        // A new process would find a new device; here the stand-in is given one, and nothing of the old one is left.
        CudaTestDevice.Set("sticky", "0");
        Assert.Equal(0, Held().Objects);
    }

    /// <summary>What the stand-in has given out.</summary>
    private static (long Bytes, long Pinned, long Objects) Held()
    {
        // What a failed constructor dropped is freed by its finalizer.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return (CudaTestDevice.Get("live_bytes"), CudaTestDevice.Get("pinned_bytes"), CudaTestDevice.Get("live_objects"));
    }
}
