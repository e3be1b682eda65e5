using System.Runtime.CompilerServices;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Memory;

[Collection(EnvironmentTests.Name)]
public sealed class DeviceMemoryTests
{
    private const long Megabyte = 1 << 20;

    [Fact]
    public void Bytes_are_counted_until_they_are_freed()
    {
        using CudaContext context = CudaTestDevice.Open();
        var first = new DeviceBuffer(context, 1000, "first");
        var second = new DeviceBuffer(context, 500, "second");
        Assert.Equal(1500, context.Memory.BytesInUse);
        first.Dispose();
        first.Dispose();
        Assert.Equal(500, context.Memory.BytesInUse);
        second.Dispose();
        Assert.Equal(0, context.Memory.BytesInUse);
        Assert.Equal(1500, context.Memory.PeakBytes);
        Assert.Throws<ObjectDisposedException>(() => second.Pointer);
    }

    [Fact]
    public void An_empty_buffer_has_no_address_and_costs_nothing()
    {
        using CudaContext context = CudaTestDevice.Open();
        using var buffer = new DeviceBuffer(context, 0, "nothing");
        Assert.Equal(0, buffer.Bytes);
        Assert.Equal(0ul, buffer.Pointer);
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceBuffer(context, -1, "less than nothing"));
        Assert.Equal(0, context.Memory.BytesInUse);
    }

    [Fact]
    public void Things_outlive_the_context_that_was_disposed_before_them()
    {
        CudaContext context = CudaTestDevice.Open();
        var stream = new CudaStream(context);
        var buffer = new DeviceBuffer(context, 64, "test");
        var growable = new GrowableDeviceBuffer(context, Megabyte, "test");
        var pinned = new PinnedBuffer(context, 64, "test");
        var mark = new CudaEvent(context);
        context.Dispose();
        Assert.False(context.IsClosed);

        growable.EnsureCapacity(1);
        stream.Fill(growable.Pointer, 7, 64);
        stream.Copy(buffer.Pointer, growable.Pointer, 64);
        stream.Download(pinned, 0, buffer.Pointer, 64);
        stream.Synchronize();
        Assert.Equal(Enumerable.Repeat((byte)7, 64), pinned.AsSpan().ToArray());

        IDisposable[] all = [buffer, stream, mark, growable, pinned];
        foreach (IDisposable thing in all)
        {
            thing.Dispose();
        }

        Assert.True(context.IsClosed);
        Assert.Equal((0L, 0L), (context.Memory.BytesInUse, context.Memory.PinnedBytesInUse));
        Assert.Throws<ObjectDisposedException>(() => new CudaStream(context));
    }

    [Fact]
    public void What_nobody_disposed_is_freed_by_the_collector()
    {
        CudaTestDevice.RequireStandIn();
        long before = CudaTestDevice.Get("live_bytes");
        long objects = CudaTestDevice.Get("live_objects");
        Abandon();
        for (int i = 0; i < 10 && CudaTestDevice.Get("live_objects") > objects; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Equal(before, CudaTestDevice.Get("live_bytes"));
        Assert.Equal(objects, CudaTestDevice.Get("live_objects"));
    }

    [Fact]
    public void Too_little_memory_is_said_with_both_numbers_and_the_engine_goes_on()
    {
        using CudaContext context = CudaTestDevice.Open();
        long free = context.Memory.FreeBytes();

        DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => new DeviceBuffer(context, 1L << 50, "the weights"));

        Assert.Equal(1L << 50, error.RequestedBytes);
        // Others may use a GPU meanwhile.
        Assert.InRange(error.AvailableBytes, CudaTestDevice.IsGpu ? 0 : free, CudaTestDevice.IsGpu ? long.MaxValue : free);
        Assert.StartsWith($"Not enough memory for the weights: {1L << 50:N0} bytes are needed, {error.AvailableBytes:N0} are free", error.Message, StringComparison.Ordinal);
        Assert.Equal("cuMemAlloc_v2", Assert.IsType<CudaException>(error.InnerException).Api);
        Assert.Null(context.Health.Cause);
        using var buffer = new DeviceBuffer(context, 1000, "a little");
        Assert.Equal(1000, context.Memory.BytesInUse);
    }

    [Fact]
    public void A_growable_buffer_keeps_its_address_and_its_content()
    {
        using CudaContext context = CudaTestDevice.Open();
        using var stream = new CudaStream(context);
        using var buffer = new GrowableDeviceBuffer(context, 40 * Megabyte, "the cache", 4 * Megabyte);
        ulong address = buffer.Pointer;
        Assert.Equal(0, context.Memory.BytesInUse);

        long written = 0;
        foreach (long bytes in (long[])[1, 4 * Megabyte, (4 * Megabyte) + 1, 17 * Megabyte, 40 * Megabyte])
        {
            buffer.EnsureCapacity(bytes);
            Assert.Equal(address, buffer.Pointer);
            Assert.InRange(buffer.Bytes, bytes, Math.Min(40 * Megabyte, bytes + (4 * Megabyte)));
            Assert.Equal(buffer.Bytes, context.Memory.BytesInUse);
            stream.Fill(address + (ulong)written, 1, bytes - written);
            written = bytes;
        }

        byte[] content = new byte[40 * Megabyte];
        stream.DownloadNow<byte>(content, address);
        Assert.Equal(-1, content.AsSpan().IndexOfAnyExcept((byte)1));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.EnsureCapacity((40 * Megabyte) + 1));

        buffer.Trim();
        Assert.Equal((0L, 0L), (buffer.Bytes, context.Memory.BytesInUse));
        buffer.EnsureCapacity(Megabyte);
        stream.Fill(address, 2, Megabyte);
        stream.Synchronize();
    }

    [Fact]
    public void A_growable_buffer_that_finds_no_memory_stays_as_it_was()
    {
        CudaTestDevice.RequireStandIn();
        using CudaContext context = CudaTestDevice.Open();
        using var stream = new CudaStream(context);
        using var buffer = new GrowableDeviceBuffer(context, 64 * Megabyte, "the cache", 2 * Megabyte);
        buffer.EnsureCapacity(Megabyte);
        long held = buffer.Bytes;
        long live = CudaTestDevice.Get("live_bytes");
        try
        {
            // The calls of one growth, in turn: create, map, set access.
            for (int nth = 1; ; nth++)
            {
                CudaTestDevice.Fail("map", nth);
                try
                {
                    buffer.EnsureCapacity(16 * Megabyte);
                    Assert.True(nth > 1, "No call failed.");
                    break;
                }
                catch (DeviceMemoryException error)
                {
                    Assert.Contains("the cache", error.Message, StringComparison.Ordinal);
                    Assert.Equal(held, buffer.Bytes);
                    Assert.Equal(held, context.Memory.BytesInUse);
                    Assert.Equal(live, CudaTestDevice.Get("live_bytes"));
                }
            }
        }
        finally
        {
            CudaTestDevice.Reset();
        }

        stream.Fill(buffer.Pointer, 1, 16 * Megabyte);
        stream.Synchronize();
    }

    [Fact]
    public void Copies_stay_inside_a_pinned_buffer()
    {
        using CudaContext context = CudaTestDevice.Open();
        using var stream = new CudaStream(context);
        using var pinned = new PinnedBuffer(context, 100, "test");
        using var buffer = new DeviceBuffer(context, 100, "test");
        Assert.Equal(100, context.Memory.PinnedBytesInUse);
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.Upload(buffer.Pointer, pinned, 60, 41));
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.Download(pinned, -1, buffer.Pointer, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.Download(pinned, 0, buffer.Pointer, long.MaxValue));
        Assert.Throws<ArgumentOutOfRangeException>(() => pinned.AsSpan<int>(0, 26).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.At(101));

        pinned.AsSpan<int>(0, 25)[24] = 123;
        stream.Upload(buffer.Pointer, pinned, 0, 100);
        stream.Download(pinned, 0, buffer.At(96), 4);
        stream.Synchronize();
        Assert.Equal(123, pinned.AsSpan<int>(0, 25)[0]);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Abandon()
    {
        CudaContext context = CudaTestDevice.Open();
        var growable = new GrowableDeviceBuffer(context, Megabyte, "test");
        growable.EnsureCapacity(1);
        GC.KeepAlive(new object[] { new DeviceBuffer(context, 64, "test"), new CudaStream(context), new CudaEvent(context), new PinnedBuffer(context, 64, "test"), growable });
    }
}
