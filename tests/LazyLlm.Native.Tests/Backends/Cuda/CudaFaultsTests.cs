using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>
/// Fails the Nth call of a kind for N = 1, 2, ... until what was asked for succeeds: each failure is one of the engine's
/// own errors, nothing leaks, and the engine works afterwards or says that its device is lost.
/// </summary>
[Collection(EnvironmentTests.Name)]
public sealed class CudaFaultsTests : IDisposable
{
    private const int OutOfMemory = 2;
    private const int OutOfResources = 701;
    private const int IllegalAddress = 700;
    private const int Capacity = 128;

    private static readonly int[] Prompt = [.. Enumerable.Range(0, 40).Select(i => (i * 37 % 150) + 3)];
    private static readonly PruningSchedule Schedule = PruningSchedule.Parse("2:0.6,4:0.3");

    public CudaFaultsTests() => CudaTestDevice.RequireStandIn();

    public static TheoryData<string, int> LoadFaults => new()
    {
        { "context", OutOfMemory },
        { "alloc", OutOfMemory },
        { "pinned", OutOfMemory },
        { "stream", OutOfMemory },
        { "event", OutOfMemory },
        { "copy", OutOfMemory },
        { "compile", 0 },
        { "module", OutOfMemory },
        { "function", 500 },
        { "sync", OutOfMemory },
    };

    public static TheoryData<string, int> RequestFaults => new()
    {
        { "alloc", OutOfMemory },
        { "map", OutOfMemory },
        { "pinned", OutOfMemory },
        { "stream", OutOfMemory },
        { "event", OutOfMemory },
        { "set", OutOfMemory },
        { "copy", OutOfMemory },
        { "graph", OutOfMemory },
        { "launch", OutOfResources },
        { "sync", OutOfMemory },
    };

    public void Dispose() => CudaTestDevice.Reset();

    [Theory]
    [MemberData(nameof(LoadFaults))]
    public void A_load_that_fails_leaks_nothing_and_the_next_one_works(string kind, int code)
    {
        Counters before = Counters.Now();
        int failures = 0;
        for (int n = 1; ; n = kind == "compile" ? 4 * n : Next(n))
        {
            CudaTestDevice.Set("fail." + kind, code == 0 ? $"{n}" : $"{n}:{code}");
            try
            {
                using ScratchFolder? fresh = kind == "compile" ? new ScratchFolder() : null;
                Load(fresh).Dispose();
                break;
            }
            catch (DeviceException)
            {
                failures++;
            }

            Assert.Equal(before, Counters.Now());
        }

        Assert.True(failures > 0, $"No {kind} call failed: the test tests nothing.");
        CudaTestDevice.Set("fail." + kind, "0");
        using CudaOperations operations = Load();
        Assert.Equal(3, Request(operations).Length);
    }

    [Fact]
    public void A_load_that_fails_gives_its_staging_memory_back_at_once_whatever_else_fails()
    {
        long pinned = CudaTestDevice.Get("pinned_bytes");
        long alive = CudaTestDevice.Get("live_bytes");
        CudaTestDevice.Set("fail.sync", $"2+:{OutOfMemory}");
        Assert.Throws<DeviceMemoryException>(() => Load());
        // No finalizer has run.
        Assert.Equal((pinned, alive), (CudaTestDevice.Get("pinned_bytes"), CudaTestDevice.Get("live_bytes")));
    }

    [Theory]
    [MemberData(nameof(RequestFaults))]
    public void A_request_that_fails_leaks_nothing_and_the_engine_goes_on(string kind, int code)
    {
        using CudaOperations operations = Load();
        float[][] expected = Request(operations);
        Counters before = Counters.Now();
        int failures = 0;
        for (int n = 1; ; n = Next(n))
        {
            CudaTestDevice.Set("fail." + kind, $"{n}:{code}");
            try
            {
                Assert.Equal(expected, Request(operations));
                break;
            }
            catch (DeviceException error)
            {
                Assert.IsNotType<DeviceLostException>(error);
                failures++;
            }

            CudaTestDevice.Set("fail." + kind, "0");
            Assert.Equal(before, Counters.Now());
            if (failures % 4 == 1)
            {
                Assert.Equal(expected, Request(operations));
            }
        }

        Assert.True(failures > 0, $"No {kind} call failed: the test tests nothing.");
    }

    [Theory]
    [InlineData("launch")]
    [InlineData("copy")]
    [InlineData("sync")]
    public void A_step_that_fails_is_undone_and_can_be_repeated(string kind)
    {
        using CudaOperations operations = Load();
        float[][] expected = Request(operations);
        int code = kind == "launch" ? OutOfResources : OutOfMemory;
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        for (int n = 1; n < 120; n = Next(n))
        {
            using Sequence sequence = Create(operations);
            CudaTestDevice.Set("fail." + kind, $"{n}:{code}");
            try
            {
                pass.Begin();
                pass.Add(sequence, Prompt);
                Finish(pass);
            }
            catch (DeviceException) when (sequence.Length > 0)
            {
                pass.Rollback();
            }
            catch (DeviceException)
            {
                // The tokens were not taken.
            }

            CudaTestDevice.Set("fail." + kind, "0");
            if (sequence.Length == 0)
            {
                Assert.Equal(expected[0], Step(pass, sequence, Prompt));
            }

            Assert.Equal(expected[1], Step(pass, sequence, [17]));
        }
    }

    [Theory]
    [InlineData("launch", 3)]
    [InlineData("launch", 60)]
    [InlineData("sync", 2)]
    [InlineData("copy", 2)]
    public void A_poisoned_context_is_reported_by_every_later_call(string kind, int n)
    {
        Counters before = Counters.Now();
        using (CudaOperations operations = Load())
        {
            CudaTestDevice.Set("fail." + kind, $"{n}:{IllegalAddress}");
            DeviceLostException first = Assert.Throws<DeviceLostException>(() => Request(operations));
            DeviceLostException second = Assert.Throws<DeviceLostException>(() => Request(operations));
            Assert.Equal((first.Code, first.Operation), (second.Code, second.Operation));
            Assert.Throws<DeviceLostException>(() => operations.CreateWorkspace());
        }

        // In a process of its own the device would stay lost; here the stand-in is given a new one.
        CudaTestDevice.Set("sticky", "0");
        Assert.Equal(before.LiveObjects, Counters.Now().LiveObjects);
        using CudaOperations again = Load();
        Assert.Equal(3, Request(again).Length);
    }

    [Fact]
    public void A_model_that_does_not_fit_is_refused_before_anything_is_taken()
    {
        long total = CudaTestDevice.Get("total_memory");
        Counters before = Counters.Now();
        try
        {
            CudaTestDevice.Set("total_memory", "1000000");
            long allocations = CudaTestDevice.Get("calls.alloc");
            DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => Load());
            Assert.Contains("too few", error.Message, StringComparison.Ordinal);
            Assert.Equal(allocations, CudaTestDevice.Get("calls.alloc"));
            Assert.Equal(before, Counters.Now());
        }
        finally
        {
            CudaTestDevice.Set("total_memory", total.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    [Fact]
    public void A_thousand_sessions_leave_memory_flat()
    {
        using CudaOperations operations = Load();
        StagePlan plan = Schedule.PlanFor(operations.Shape.Config.LayerCount);
        operations.CreateSequence(plan, Capacity).Dispose();
        Counters before = Counters.Now();
        for (int i = 0; i < 1000; i++)
        {
            operations.CreateSequence(plan, Capacity).Dispose();
        }

        Assert.Equal(before, Counters.Now());
    }

    // Every one of the first calls, then fewer and fewer.
    private static int Next(int n) => n + 1 + (n / 8);

    private static CudaOperations Load(ScratchFolder? fresh = null)
    {
        using ModelFolder folder = ModelFolder.Open(RepositoryFiles.Golden("models", "tiny-mha"));
        return CudaOperations.Load(
            folder.Weights,
            new CudaOptions
            {
                ContextLength = Capacity,
                Storage = TensorType.BFloat16,
                Compiler = fresh is null ? CudaTestDevice.Compiler : CudaTestDevice.CompilerWithCache(fresh.Path),
            },
            null,
            TestContext.Current.CancellationToken);
    }

    private static Sequence Create(CudaOperations operations)
    {
        StagePlan plan = Schedule.PlanFor(operations.Shape.Config.LayerCount);
        return new Sequence(operations.CreateSequence(plan, Capacity), plan, Capacity);
    }

    /// <summary>A prompt and two tokens.</summary>
    private static float[][] Request(CudaOperations operations)
    {
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence sequence = Create(operations);
        return [Step(pass, sequence, Prompt), Step(pass, sequence, [17]), Step(pass, sequence, [18])];
    }

    private static float[] Step(ForwardPass pass, Sequence sequence, int[] tokens)
    {
        pass.Begin();
        pass.Add(sequence, tokens);
        return Finish(pass);
    }

    private static float[] Finish(ForwardPass pass)
    {
        while (pass.Advance())
        {
        }

        return pass.Logits().ToArray();
    }

    /// <summary>What the stand-in has given out.</summary>
    private readonly record struct Counters(long LiveBytes, long PinnedBytes, long LiveObjects)
    {
        public static Counters Now()
        {
            // What a failed constructor dropped is freed by its finalizer.
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return new Counters(CudaTestDevice.Get("live_bytes"), CudaTestDevice.Get("pinned_bytes"), CudaTestDevice.Get("live_objects"));
        }
    }
}
