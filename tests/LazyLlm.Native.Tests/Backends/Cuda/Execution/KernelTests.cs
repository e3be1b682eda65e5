using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Execution;

public sealed class KernelTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(33)]
    [InlineData(127)]
    [InlineData(4097)]
    public void A_structure_reaches_the_kernel_by_value(int count)
    {
        using var kernels = new CudaTestKernels();
        float[] left = [.. Enumerable.Range(0, count).Select(i => i * 0.5f)];
        using var buffer = new DeviceBuffer(kernels.Context, 8L * count, "test");
        kernels.Stream.UploadNow<float>(buffer.Pointer, left);

        Add(kernels, buffer, count, 3);

        float[] sum = new float[count];
        kernels.Stream.DownloadNow<float>(sum, buffer.At(4L * count));
        Assert.Equal(left.Select(x => x + 3), sum);
    }

    [Fact]
    public void A_launch_takes_no_managed_memory()
    {
        using var kernels = new CudaTestKernels();
        using var buffer = new DeviceBuffer(kernels.Context, 8, "test");
        Kernel add = kernels.Add;
        var args = new CudaTestKernels.AddArgs { Sum = buffer.Pointer + 4, Left = buffer.Pointer, Right = 1, Count = 1 };
        var config = new LaunchConfig(1, 32);
        add.Launch(kernels.Stream, config, args);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            add.Launch(kernels.Stream, config, args);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        kernels.Stream.Synchronize();
    }

    [Fact]
    public void What_the_hardware_does_not_take_is_refused_by_name()
    {
        using var kernels = new CudaTestKernels();
        CudaTestKernels.AddArgs args = default;
        Kernel add = kernels.Add;

        Assert.Contains("lazyllm_add: a grid of (1, 65536, 1)", Refusal(new LaunchConfig(1, 65536, 1, 32)), StringComparison.Ordinal);
        Assert.Contains("lazyllm_add: a grid of (1, 1, 65536)", Refusal(new LaunchConfig(1, 1, 65536, 32)), StringComparison.Ordinal);
        Assert.Contains("lazyllm_add: a grid of (2147483648", Refusal(new LaunchConfig(1u << 31, 32)), StringComparison.Ordinal);
        Assert.Contains("a block of 0 threads", Refusal(new LaunchConfig(1, 0)), StringComparison.Ordinal);
        Assert.Contains("a block of 2048 threads", Refusal(new LaunchConfig(1, 2048)), StringComparison.Ordinal);
        Assert.Contains("dynamic shared memory, but a block on", Refusal(new LaunchConfig(1, 32) { SharedBytes = 1u << 24 }), StringComparison.Ordinal);

        string large = Assert.Throws<ArgumentOutOfRangeException>(() => add.Launch(kernels.Stream, new LaunchConfig(1, 32), default(TooLarge))).Message;
        Assert.Contains("TooLarge has 4104 bytes, but a kernel takes 4096", large, StringComparison.Ordinal);

        // None of these reached the device.
        kernels.Stream.Synchronize();

        string Refusal(LaunchConfig config) => Assert.Throws<ArgumentOutOfRangeException>(() => add.Launch(kernels.Stream, config, args)).Message;
    }

    [Theory]
    [InlineData(0, 1, 1)]
    [InlineData(1, 0, 1)]
    [InlineData(1, 1, 0)]
    public void An_empty_grid_launches_nothing(uint x, uint y, uint z)
    {
        using var kernels = new CudaTestKernels();
        kernels.Add.Launch(kernels.Stream, new LaunchConfig(x, y, z, 32), default(CudaTestKernels.AddArgs));
        kernels.Stream.Synchronize();
    }

    [Fact]
    public void More_shared_memory_than_48_KB_is_opted_in()
    {
        using var kernels = new CudaTestKernels();
        int count = (64 * 1024) / sizeof(int);
        int[] numbers = [.. Enumerable.Range(0, count)];
        using var buffer = new DeviceBuffer(kernels.Context, sizeof(int) * (long)count, "test");
        kernels.Stream.UploadNow<int>(buffer.Pointer, numbers);

        var config = new LaunchConfig(1, 128) { SharedBytes = (uint)(count * sizeof(int)) };
        kernels.Reverse.Launch(kernels.Stream, config, new CudaTestKernels.ReverseArgs { Data = buffer.Pointer, Count = count });

        int[] result = new int[count];
        kernels.Stream.DownloadNow<int>(result, buffer.Pointer);
        Assert.Equal(numbers.Reverse(), result);
        Assert.InRange(kernels.Reverse.BlocksPerMultiprocessor(128, 64 * 1024), 1, 64);
    }

    [Fact]
    public void A_kernel_that_is_not_there_is_named()
    {
        using var kernels = new CudaTestKernels();
        CudaException error = Assert.Throws<CudaException>(() => kernels.Library.Get(CudaTestKernels.Program, "lazyllm_absent"));
        Assert.Equal("cuModuleGetFunction", error.Api);
        Assert.Equal(500, error.Code);
        Assert.Equal("CUDA_ERROR_NOT_FOUND", error.Name);
        Assert.Contains("finding lazyllm_absent in probe.cu", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_recording_runs_as_one_and_takes_new_parameters()
    {
        using var kernels = new CudaTestKernels();
        using var buffer = new DeviceBuffer(kernels.Context, 12, "test");
        kernels.Stream.FillWords(buffer.Pointer, BitConverter.SingleToUInt32Bits(1), 3);

        using CudaGraph graph = CudaGraph.Capture(kernels.Stream, () => Chain(2));
        using var executable = new CudaGraphExec(graph);
        Assert.Equal([1, 1, 1], Read());
        executable.Upload(kernels.Stream);
        executable.Launch(kernels.Stream);
        Assert.Equal([1, 3, 5], Read());

        using CudaGraph other = CudaGraph.Capture(kernels.Stream, () => Chain(10));
        Assert.True(executable.Update(other));
        executable.Launch(kernels.Stream);
        Assert.Equal([1, 11, 21], Read());

        using CudaGraph longer = CudaGraph.Capture(kernels.Stream, () =>
        {
            Chain(1);
            Chain(1);
        });
        Assert.False(executable.Update(longer));

        void Chain(float right)
        {
            Step(0, right);
            Step(1, right);
        }

        void Step(ulong index, float right) => kernels.Add.Launch(
            kernels.Stream,
            new LaunchConfig(1, 32),
            new CudaTestKernels.AddArgs { Left = buffer.Pointer + (4 * index), Sum = buffer.Pointer + (4 * index) + 4, Right = right, Count = 1 });

        float[] Read()
        {
            float[] values = new float[3];
            kernels.Stream.DownloadNow<float>(values, buffer.Pointer);
            return values;
        }
    }

    [Fact]
    public void A_recording_that_throws_leaves_the_stream_usable()
    {
        using var kernels = new CudaTestKernels();
        using var buffer = new DeviceBuffer(kernels.Context, 8, "test");
        Assert.Throws<InvalidOperationException>(() => CudaGraph.Capture(kernels.Stream, () =>
        {
            Add(kernels, buffer, 1, 1);
            throw new InvalidOperationException("half-way");
        }));

        Assert.False(kernels.Stream.IsCapturing);
        kernels.Stream.FillWords(buffer.Pointer, 0, 2);
        Add(kernels, buffer, 1, 7);
        float[] sum = new float[1];
        kernels.Stream.DownloadNow<float>(sum, buffer.At(4));
        Assert.Equal([7], sum);
    }

    [Fact]
    public void Events_order_streams_and_measure_time()
    {
        using var kernels = new CudaTestKernels();
        using var other = new CudaStream(kernels.Context);
        using var start = new CudaEvent(kernels.Context, timing: true);
        using var end = new CudaEvent(kernels.Context, timing: true);
        using var buffer = new DeviceBuffer(kernels.Context, 8, "test");

        start.Record(kernels.Stream);
        kernels.Stream.FillWords(buffer.Pointer, BitConverter.SingleToUInt32Bits(5), 1);
        Add(kernels, buffer, 1, 6);
        end.Record(kernels.Stream);
        other.Wait(end);
        other.Copy(buffer.Pointer, buffer.At(4), 4);
        float[] copy = new float[1];
        other.DownloadNow<float>(copy, buffer.Pointer);

        Assert.Equal([11], copy);
        end.Synchronize();
        Assert.True(end.IsDone());
        Assert.True(end.Since(start) >= TimeSpan.Zero);
        kernels.Stream.Synchronize();
        Assert.True(kernels.Stream.IsIdle());
    }

    internal static void Add(CudaTestKernels kernels, DeviceBuffer buffer, int count, float right) => kernels.Add.Launch(
        kernels.Stream,
        new LaunchConfig((uint)((count + 255) / 256), 256),
        new CudaTestKernels.AddArgs { Left = buffer.Pointer, Sum = buffer.At(4L * count), Right = right, Count = count });

    [System.Runtime.CompilerServices.InlineArray(513)]
    private struct TooLarge
    {
        private long _first;
    }
}
