using System.Diagnostics;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Execution;

/// <summary>Every call of the driver fails once: nothing leaks, and what follows works or is refused with the cause.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class CudaFaultTests
{
    private static readonly OperationName AddTwice = new("add_twice");

    [Fact]
    public void A_kernel_that_waits_by_itself_may_start_early_where_the_device_can()
    {
        CudaTestDevice.RequireStandIn();
        try
        {
            foreach (int major in new[] { 8, 10 })
            {
                CudaTestDevice.Set("major", major.ToString(System.Globalization.CultureInfo.InvariantCulture));
                using var kernels = new CudaTestKernels();
                using var buffer = new DeviceBuffer(kernels.Context, 8, "test");
                var args = new CudaTestKernels.AddArgs { Sum = buffer.Pointer + 4, Left = buffer.Pointer, Right = 1, Count = 1 };
                var waits = new LaunchConfig(1, 32) { DependentLaunch = true };
                int early = major >= 9 ? 1 : 0;
                long before = CudaTestDevice.Get("dependent_launches");
                kernels.Add.Launch(kernels.Stream, waits, args);
                Assert.Equal(before + early, CudaTestDevice.Get("dependent_launches"));
                using CudaGraph graph = CudaGraph.Capture(kernels.Stream, () =>
                {
                    kernels.Add.Launch(kernels.Stream, new LaunchConfig(1, 32), args);
                    kernels.Add.Launch(kernels.Stream, waits, args);
                });
                Assert.Equal(before + (2 * early), CudaTestDevice.Get("dependent_launches"));
            }
        }
        finally
        {
            CudaTestDevice.Reset();
        }
    }

    [Theory]
    [InlineData("context")]
    [InlineData("stream")]
    [InlineData("event")]
    [InlineData("module")]
    [InlineData("function")]
    [InlineData("alloc")]
    [InlineData("pinned")]
    [InlineData("map")]
    [InlineData("copy")]
    [InlineData("set")]
    [InlineData("graph")]
    [InlineData("launch")]
    [InlineData("sync")]
    public void Failing_any_call_leaks_nothing_and_the_next_run_works(string kind)
    {
        CudaTestDevice.RequireStandIn();
        Run();
        long bytes = CudaTestDevice.Get("live_bytes");
        long pinned = CudaTestDevice.Get("pinned_bytes");
        long objects = CudaTestDevice.Get("live_objects");
        int failures = 0;
        CudaTestDevice.Set("quiet", "1");
        try
        {
            for (int nth = 1; ; nth++)
            {
                CudaTestDevice.Fail(kind, nth);
                bool failed = false;
                try
                {
                    Run();
                }
                catch (DeviceException error)
                {
                    failed = true;
                    failures++;
                    Assert.Contains("cu", error.ToString(), StringComparison.Ordinal);
                }

                CudaTestDevice.Reset();
                CudaTestDevice.Set("quiet", "1");
                Assert.Equal((bytes, pinned, objects), (CudaTestDevice.Get("live_bytes"), CudaTestDevice.Get("pinned_bytes"), CudaTestDevice.Get("live_objects")));
                Run();
                if (!failed)
                {
                    break;
                }
            }
        }
        finally
        {
            CudaTestDevice.Reset();
        }

        Assert.True(failures > 0, $"No call of kind {kind} was made.");
    }

    [Fact]
    public void A_compilation_that_fails_is_tried_again_by_the_next_caller()
    {
        CudaTestDevice.RequireStandIn();
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lazyllm-");
        try
        {
            using CudaContext context = CudaTestDevice.Open();
            KernelSources sources = CudaTestKernels.Sources(new KernelSourceFile("empty.cu", "#include \"types.cuh\"\nstruct EmptyArgs { i32 none; };\nLAZYLLM_KERNEL(lazyllm_empty, EmptyArgs, 32) {}\n"));
            KernelCompiler compiler = CudaTestKernels.OpenCompiler(context.Device, sources, KernelCache.Open(folder.FullName));
            CudaTestDevice.Fail("compile", 1);
            Assert.Throws<KernelCompilationException>(() => compiler.Compile(new KernelProgram("empty.cu")));
            Assert.Empty(compiler.Cache.List());
            Assert.Equal("sm_80", compiler.Compile(new KernelProgram("empty.cu")).Target);
            Assert.Single(compiler.Cache.List());
        }
        finally
        {
            CudaTestDevice.Reset();
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public void Running_out_of_memory_is_not_the_end()
    {
        CudaTestDevice.RequireStandIn();
        using var kernels = new CudaTestKernels();
        try
        {
            CudaTestDevice.Fail("alloc", 1);
            Assert.Throws<DeviceMemoryException>(() => new DeviceBuffer(kernels.Context, 100, "test"));
        }
        finally
        {
            CudaTestDevice.Reset();
        }

        Assert.Null(kernels.Context.Health.Cause);
        using var buffer = new DeviceBuffer(kernels.Context, 8, "test");
        KernelTests.Add(kernels, buffer, 1, 1);
        kernels.Stream.Synchronize();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_kernel_that_writes_outside_its_memory_loses_the_device(bool synchronous)
    {
        CudaTestDevice.Require();
        using Process child = ChildProcess.Start(typeof(CudaFaultTests), synchronous ? nameof(LoseDeviceSynchronously) : nameof(LoseDevice), CudaTestDevice.Variables);
        ChildProcess.WaitForSuccess(child);
    }

    [Fact(Explicit = true)]
    public void LoseDevice() => Lose(synchronous: false);

    [Fact(Explicit = true)]
    public void LoseDeviceSynchronously() => Lose(synchronous: true);

    private static void Lose(bool synchronous)
    {
        var kernels = new CudaTestKernels(synchronous);
        var buffer = new DeviceBuffer(kernels.Context, 8, "test");

        DeviceLostException first = Assert.Throws<DeviceLostException>(() =>
        {
            using (OperationScope.Open(AddTwice, stage: 1, layer: 12))
            {
                var wild = new CudaTestKernels.AddArgs { Left = buffer.Pointer, Sum = 0x10_0000_0000_0000, Right = 1, Count = 1 };
                kernels.Add.Launch(kernels.Stream, new LaunchConfig(1, 32), wild);
                kernels.Stream.Synchronize();
            }
        });

        Assert.Contains("add_twice (stage 1, layer 12)", first.Operation, StringComparison.Ordinal);
        Assert.Equal(700, first.Code);
        if (synchronous)
        {
            Assert.Contains("lazyllm_add <<<(1, 1, 1), (32, 1, 1), 0 B>>>", first.Operation, StringComparison.Ordinal);
        }
        else
        {
            Assert.Contains("LAZYLLM_SYNC=1", first.Message, StringComparison.Ordinal);
        }

        Assert.Same(first, kernels.Context.Health.Cause);
        Action[] calls =
        [
            () => kernels.Stream.Synchronize(),
            () => kernels.Context.Memory.FreeBytes(),
            () => kernels.Stream.Fill(buffer.Pointer, 0, 8),
            () => KernelTests.Add(kernels, buffer, 1, 1),
            () => _ = new DeviceBuffer(kernels.Context, 8, "test"),
            () => _ = new CudaStream(kernels.Context),
        ];
        foreach (Action call in calls)
        {
            DeviceLostException later = Assert.Throws<DeviceLostException>(call);
            Assert.Equal(first.Message, later.Message);
            Assert.Same(first, later.InnerException);
        }

        // The parent sees to it that this ends.
        buffer.Dispose();
        kernels.Dispose();
        Assert.True(kernels.Context.IsClosed);
        Assert.Equal(0, kernels.Context.Memory.BytesInUse);
    }

    private static void Run()
    {
        using var kernels = new CudaTestKernels();
        using var start = new CudaEvent(kernels.Context, timing: true);
        using var pinned = new PinnedBuffer(kernels.Context, 8, "test");
        using var buffer = new DeviceBuffer(kernels.Context, 8, "test");
        using var growable = new GrowableDeviceBuffer(kernels.Context, 1 << 22, "test");
        growable.EnsureCapacity(8);
        pinned.AsSpan<float>(0, 1)[0] = 2;
        start.Record(kernels.Stream);
        kernels.Stream.Upload(buffer.Pointer, pinned, 0, 4);
        KernelTests.Add(kernels, buffer, 1, 3);
        using (CudaGraph graph = CudaGraph.Capture(kernels.Stream, () => KernelTests.Add(kernels, buffer, 1, 5)))
        using (var executable = new CudaGraphExec(graph))
        {
            executable.Launch(kernels.Stream);
            kernels.Stream.Synchronize();
        }

        kernels.Stream.Fill(growable.Pointer, 0, 8);
        kernels.Stream.Copy(growable.Pointer, buffer.At(4), 4);
        kernels.Stream.Download(pinned, 4, growable.Pointer, 4);
        kernels.Stream.Synchronize();
        Assert.Equal(7, pinned.AsSpan<float>(0, 2)[1]);
    }
}
