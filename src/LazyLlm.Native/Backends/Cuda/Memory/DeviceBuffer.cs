using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Memory;

/// <summary>Device memory of a fixed size. Its content is undefined at first.</summary>
internal sealed class DeviceBuffer : CudaResource
{
    /// <summary>Allocates.</summary>
    /// <param name="context">The context.</param>
    /// <param name="bytes">Its size; 0 gives an empty buffer with the address 0.</param>
    /// <param name="what">What it is for, for errors.</param>
    /// <exception cref="DeviceMemoryException">There is too little memory; nothing has changed.</exception>
    public DeviceBuffer(CudaContext context, long bytes, string what)
        : base(context)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (bytes == 0)
        {
            return;
        }

        context.Enter();
        CuResult result = CudaDriver.cuMemAlloc_v2(out ulong pointer, (nuint)bytes);
        context.Memory.Check(result, what, bytes, nameof(CudaDriver.cuMemAlloc_v2));
        Own((nint)pointer);
        Bytes = bytes;
        context.Memory.Add(bytes);
    }

    /// <summary>Its size.</summary>
    public long Bytes { get; }

    /// <summary>Its device address, a multiple of 256.</summary>
    public ulong Pointer => (ulong)Native;

    /// <summary>The address of a byte inside.</summary>
    /// <param name="offset">From 0 to <see cref="Bytes"/>.</param>
    public ulong At(long offset)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)offset, (ulong)Bytes, nameof(offset));
        return Pointer + (ulong)offset;
    }

    private protected override void Free(nint native)
    {
        CudaDriver.cuMemFree_v2((ulong)native);
        Context.Memory.Add(-Bytes);
    }
}
