using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Memory;

/// <summary>
/// Device memory that grows in place: addresses for the largest size are reserved at once, memory is put behind them as
/// it is needed. So the address never changes (CUDA graphs keep it), and what is never used costs nothing.
/// </summary>
internal sealed class GrowableDeviceBuffer : CudaResource
{
    private readonly List<long> _blocks = [];
    private readonly string _what;
    private readonly long _blockBytes;
    private readonly long _reservedBytes;
    private long _bytes;

    /// <summary>Reserves addresses; takes no memory yet.</summary>
    /// <param name="context">The context.</param>
    /// <param name="maxBytes">The largest size, above 0.</param>
    /// <param name="what">What it is for, for errors.</param>
    /// <param name="blockBytes">The least to grow by; rounded up to what the device maps (2 MiB as a rule).</param>
    /// <exception cref="DeviceException">The device does not support this.</exception>
    public GrowableDeviceBuffer(CudaContext context, long maxBytes, string what, long blockBytes = 0)
        : base(context)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(blockBytes);
        if (!context.Device.SupportsVirtualMemory)
        {
            throw new DeviceException($"{context.Device.Name} cannot reserve addresses apart from memory (virtual memory management), which the caches need.");
        }

        long granularity = Granularity(context);
        _what = what;
        _blockBytes = RoundUp(Math.Max(blockBytes, 1), granularity);
        _reservedBytes = RoundUp(maxBytes, granularity);
        context.Check(CudaDriver.cuMemAddressReserve(out ulong pointer, (nuint)_reservedBytes, 0, 0, 0), $"reserving addresses for {what}");
        Own((nint)pointer);
        MaxBytes = maxBytes;
    }

    /// <summary>The largest size.</summary>
    public long MaxBytes { get; }

    /// <summary>Bytes of memory behind the addresses now.</summary>
    public long Bytes => _bytes;

    /// <summary>Its device address, which never changes.</summary>
    public ulong Pointer => (ulong)Native;

    private CuMemAllocationProp Properties => PropertiesOn(Context);

    /// <summary>What sizes are rounded up to on a device, in bytes.</summary>
    public static long Granularity(CudaContext context)
    {
        context.Enter();
        context.Check(CudaDriver.cuMemGetAllocationGranularity(out nuint granularity, PropertiesOn(context), 0));
        return (long)granularity;
    }

    /// <summary>
    /// Grows until the first <paramref name="bytes"/> bytes can be used; the content of new bytes is undefined. Work
    /// that is under way goes on.
    /// </summary>
    /// <param name="bytes">Bytes needed, at most <see cref="MaxBytes"/>.</param>
    /// <exception cref="DeviceMemoryException">There is too little memory; the buffer is as before.</exception>
    public void EnsureCapacity(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, MaxBytes);
        if (bytes <= _bytes)
        {
            return;
        }

        long grow = Math.Min(RoundUp(bytes - _bytes, _blockBytes), _reservedBytes - _bytes);
        Context.Enter();
        CuResult result = CudaDriver.cuMemCreate(out ulong handle, (nuint)grow, Properties, 0);
        Context.Memory.Check(result, _what, grow, nameof(CudaDriver.cuMemCreate));
        ulong start = Pointer + (ulong)_bytes;
        try
        {
            result = CudaDriver.cuMemMap(start, (nuint)grow, 0, handle, 0);
            Context.Memory.Check(result, _what, grow, nameof(CudaDriver.cuMemMap));
        }
        finally
        {
            // The mapping, once made, holds the memory by itself.
            CudaDriver.cuMemRelease(handle);
        }

        var access = new CuMemAccessDesc { Location = Properties.Location, Flags = CuMemAccessDesc.ReadWrite };
        result = CudaDriver.cuMemSetAccess(start, (nuint)grow, access, 1);
        if (result != CuResult.Success)
        {
            CudaDriver.cuMemUnmap(start, (nuint)grow);
            Context.Memory.Check(result, _what, grow, nameof(CudaDriver.cuMemSetAccess));
        }

        _blocks.Add(grow);
        _bytes += grow;
        Context.Memory.Add(grow);
    }

    /// <summary>Gives the memory back and keeps the addresses. Waits for the device first.</summary>
    public void Trim()
    {
        if (_bytes > 0)
        {
            Context.Synchronize();
            Unmap(Pointer);
        }
    }

    private protected override void Free(nint native)
    {
        if (_bytes > 0)
        {
            // Unlike cuMemFree, unmapping does not wait for kernels that may still use the memory.
            Context.WaitForWork();
            Unmap((ulong)native);
        }

        CudaDriver.cuMemAddressFree((ulong)native, (nuint)_reservedBytes);
    }

    private static CuMemAllocationProp PropertiesOn(CudaContext context) => new()
    {
        Type = CuMemAllocationProp.PinnedType,
        Location = new CuMemLocation { Type = CuMemLocation.DeviceType, Id = context.Device.Handle },
    };

    private void Unmap(ulong start)
    {
        ulong end = start + (ulong)_bytes;
        for (int i = _blocks.Count - 1; i >= 0; i--)
        {
            end -= (ulong)_blocks[i];
            CudaDriver.cuMemUnmap(end, (nuint)_blocks[i]);
        }

        Context.Memory.Add(-_bytes);
        _blocks.Clear();
        _bytes = 0;
    }

    private static long RoundUp(long value, long unit) => checked((value + unit - 1) / unit * unit);
}
