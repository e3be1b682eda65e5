using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>Uploads by several threads on a device that fails, or that copies late.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class WeightUploaderFaultsTests : IDisposable
{
    private const int OutOfMemory = 2;
    private const int IllegalAddress = 700;
    private const int Fillers = 5;
    private const int Pieces = 60;
    private const int Columns = 1 << 14;

    public WeightUploaderFaultsTests() => CudaTestDevice.RequireStandIn();

    public void Dispose() => CudaTestDevice.Reset();

    [Theory]
    [InlineData("pinned", 1)]
    [InlineData("pinned", 2)]
    [InlineData("event", 1)]
    [InlineData("event", Fillers + 1)]
    [InlineData("event", Pieces)]
    [InlineData("copy", 1)]
    [InlineData("copy", Pieces / 2)]
    [InlineData("copy", Pieces)]
    [InlineData("sync", 1)]
    [InlineData("sync", Pieces / 2)]
    public void A_call_that_fails_is_told_once_all_is_given_back_and_the_device_goes_on(string kind, int n)
    {
        using var bench = new KernelBench(TensorType.Float32);
        var tensor = new WatchedTensor(TensorType.Float32, Pieces, Columns, 1);
        ulong target = bench.Floats(Pieces * Columns);
        Counters before = Counters.Now();
        CudaTestDevice.Set("fail." + kind, $"{n}:{OutOfMemory}");
        using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, Fillers))
        {
            DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => Upload(uploader, target, tensor));
            var cause = Assert.IsType<CudaException>(error.InnerException);
            Assert.Equal(kind == "pinned" ? "staging of weights" : "load_weights", cause.Operation);
        }

        Assert.Equal(before, Counters.Now());
        CudaTestDevice.Set("fail." + kind, "0");
        using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, Fillers))
        {
            Upload(uploader, target, tensor);
        }

        Assert.Equal(tensor.Padded(Pieces, Columns), bench.Read(target, Pieces * Columns));
        Assert.Equal(before, Counters.Now());
    }

    [Theory]
    [InlineData("copy", 1, 0)]
    [InlineData("copy", Pieces / 2, 0)]
    [InlineData("copy", Pieces / 2, 1)]
    [InlineData("event", Pieces / 2, 1)]
    [InlineData("sync", Pieces / 2, 1)]
    public void A_device_that_is_lost_midway_is_told_and_holds_nobody_up(string kind, int n, int late)
    {
        Counters before = Counters.Now();
        CudaTestDevice.Set("async", $"{late}");
        using (var bench = new KernelBench(TensorType.Float32))
        {
            var tensor = new WatchedTensor(TensorType.Float32, Pieces, Columns, 1);
            ulong target = bench.Floats(Pieces * Columns);
            long pinned = CudaTestDevice.Get("pinned_bytes");
            using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, Fillers))
            {
                CudaTestDevice.Set("fail." + kind, $"{n}:{IllegalAddress}");
                Assert.Throws<DeviceLostException>(() => Upload(uploader, target, tensor));
                Assert.Throws<DeviceLostException>(() => uploader.UploadMatrix(target, tensor, Pieces, Columns));
            }

            Assert.Equal(pinned, CudaTestDevice.Get("pinned_bytes"));
        }

        // In a process of its own the device would stay lost; here the stand-in is given a new one.
        CudaTestDevice.Set("sticky", "0");
        Assert.Equal(before, Counters.Now());
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(Fillers, 0)]
    [InlineData(Fillers, 1)]
    public void Each_piece_is_copied_once(int fillers, int late)
    {
        CudaTestDevice.Set("async", $"{late}");
        using var bench = new KernelBench(TensorType.Float32);
        var tensor = new WatchedTensor(TensorType.Float32, Pieces, Columns, 1);
        ulong target = bench.Floats(Pieces * Columns);
        long copies = CudaTestDevice.Get("calls.copy");
        using var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, fillers);
        Upload(uploader, target, tensor);
        Assert.Equal(Pieces, CudaTestDevice.Get("calls.copy") - copies);
        Assert.Equal(Pieces, tensor.Reads);
        Assert.Equal(tensor.Padded(Pieces, Columns), bench.Read(target, Pieces * Columns));
    }

    [Fact]
    public void No_buffer_is_filled_again_before_the_device_has_read_it()
    {
        // The device comes to the copies late, so a buffer that does not wait for its own is overwritten before.
        const int rows = 12 * Pieces;
        CudaTestDevice.Set("async", "1");
        using var bench = new KernelBench(TensorType.BFloat16);
        var wide = new WatchedTensor(TensorType.BFloat16, rows, Columns, 1);
        ulong target = bench.StoredFloats(rows * Columns);
        ulong far = bench.StoredFloats(8 * 64 * Columns);
        bench.Stream.Synchronize();
        using (var uploader = new WeightUploader(bench.Stream, TensorType.BFloat16, 0, null, default, Fillers))
        {
            uploader.UploadMatrix(target, wide, rows, Columns);

            // Growing gives buffers back that the device may still be reading.
            uploader.UploadMatrix(far, new WatchedTensor(TensorType.BFloat16, 8, 64 * Columns, 2), 8, 64 * Columns);
            uploader.Finish();
        }

        Assert.Equal(wide.Padded(rows, Columns), bench.ReadStored(target, rows * Columns));
        Assert.Equal(new WatchedTensor(TensorType.BFloat16, 8, 64 * Columns, 2).Padded(8, 64 * Columns), bench.ReadStored(far, 8 * 64 * Columns));
    }

    [Fact]
    public void Buffers_outlive_copies_on_their_way_where_a_read_fails()
    {
        // What the device reads after it was given back faults, and ends the process.
        CudaTestDevice.Set("async", "1");
        using var bench = new KernelBench(TensorType.Float32);
        ulong target = bench.Floats(Pieces * Columns);
        var tensor = new WatchedTensor(TensorType.Float32, Pieces, Columns, 1, offset =>
        {
            if (offset >= Pieces / 2 * Columns * sizeof(float))
            {
                throw new ModelFormatException("model.safetensors", "cut off");
            }
        });
        long pinned = CudaTestDevice.Get("pinned_bytes");
        for (int i = 0; i < 20; i++)
        {
            using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, Fillers))
            {
                Assert.Throws<ModelFormatException>(() => Upload(uploader, target, tensor));
            }

            Assert.Equal(pinned, CudaTestDevice.Get("pinned_bytes"));
        }
    }

    private static void Upload(WeightUploader uploader, ulong target, WatchedTensor tensor)
    {
        uploader.UploadMatrix(target, tensor, tensor.Rows, tensor.Columns);
        uploader.Finish();
    }

    /// <summary>What the stand-in has given out.</summary>
    private readonly record struct Counters(long LiveBytes, long PinnedBytes, long LiveObjects)
    {
        public static Counters Now() => new(CudaTestDevice.Get("live_bytes"), CudaTestDevice.Get("pinned_bytes"), CudaTestDevice.Get("live_objects"));
    }
}
