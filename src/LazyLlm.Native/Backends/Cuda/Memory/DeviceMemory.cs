using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Memory;

/// <summary>What the engine holds of a device's memory, and what is free. Safe from every thread.</summary>
internal sealed class DeviceMemory
{
    private readonly CudaContext _context;
    private long _bytesInUse;
    private long _peakBytes;
    private long _pinnedBytesInUse;

    internal DeviceMemory(CudaContext context) => _context = context;

    /// <summary>Device bytes held by buffers of this context.</summary>
    public long BytesInUse => Interlocked.Read(ref _bytesInUse);

    /// <summary>The most that <see cref="BytesInUse"/> has been.</summary>
    public long PeakBytes => Interlocked.Read(ref _peakBytes);

    /// <summary>Pinned host bytes held by buffers of this context.</summary>
    public long PinnedBytesInUse => Interlocked.Read(ref _pinnedBytesInUse);

    /// <summary>Bytes that the driver says are free now, for any process.</summary>
    public long FreeBytes()
    {
        _context.Enter();
        _context.Check(CudaDriver.cuMemGetInfo_v2(out nuint free, out _));
        return (long)free;
    }

    internal void Add(long bytes)
    {
        long now = Interlocked.Add(ref _bytesInUse, bytes);
        long peak;
        while (now > (peak = PeakBytes) && Interlocked.CompareExchange(ref _peakBytes, now, peak) != peak)
        {
            // Another thread raised the peak meanwhile; look again.
        }
    }

    internal void AddPinned(long bytes) => Interlocked.Add(ref _pinnedBytesInUse, bytes);

    /// <summary>Throws if an allocation failed, with the amount that was asked for and what is free.</summary>
    internal void Check(CuResult result, string what, long bytes, string call)
    {
        if (result == CuResult.Success)
        {
            return;
        }

        if (result != CuResult.OutOfMemory)
        {
            CudaError.Throw(result, _context, $"allocating {bytes:N0} bytes for {what}", call);
        }

        long free = CudaDriver.cuMemGetInfo_v2(out nuint available, out _) == CuResult.Success ? (long)available : -1;
        var cause = new CudaException(call, (int)result, CudaError.Name(result), CudaError.Text(result), what);
        string advice = free >= bytes
            ? $"The free memory of {_context.Device.Name} is in pieces that are too small, or another process took it meanwhile. Try again, or use a smaller context."
            : $"This engine holds {BytesInUse:N0} bytes of {_context.Device.Name}. Use a smaller context, fewer sessions, a stronger schedule, or end other work on this GPU.";
        throw new DeviceMemoryException(what, bytes, free, advice, cause);
    }
}
