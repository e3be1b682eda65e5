using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Memory;

/// <summary>Host memory that does not move, so that the device copies to and from it while the host goes on.</summary>
internal sealed unsafe class PinnedBuffer : CudaResource
{
    private const uint Portable = 1;

    /// <summary>Allocates.</summary>
    /// <param name="context">The context.</param>
    /// <param name="bytes">Its size, above 0.</param>
    /// <param name="what">What it is for, for errors.</param>
    /// <exception cref="DeviceMemoryException">The system does not pin that much.</exception>
    public PinnedBuffer(CudaContext context, long bytes, string what)
        : base(context)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        context.Enter();
        CuResult result = CudaDriver.cuMemHostAlloc(out nint pointer, (nuint)bytes, Portable);
        if (result == CuResult.OutOfMemory)
        {
            var cause = new CudaException(nameof(CudaDriver.cuMemHostAlloc), (int)result, CudaError.Name(result), CudaError.Text(result), what);
            throw new DeviceMemoryException($"{what} (pinned host memory)", bytes, -1, "Raise the limit of locked memory (ulimit -l), or free host memory.", cause);
        }

        context.Check(result, what, nameof(CudaDriver.cuMemHostAlloc));
        Own(pointer);
        Bytes = bytes;
        context.Memory.AddPinned(bytes);
    }

    /// <summary>Its size.</summary>
    public long Bytes { get; }

    /// <summary>Part of it as a span. Do not keep the span beyond the buffer.</summary>
    /// <typeparam name="T">A type of plain data.</typeparam>
    /// <param name="byteOffset">First byte, a multiple of the element's size.</param>
    /// <param name="count">Elements.</param>
    public Span<T> AsSpan<T>(long byteOffset, int count)
        where T : unmanaged =>
        MemoryMarshal.CreateSpan(ref Unsafe.As<byte, T>(ref Slice(byteOffset, (long)count * sizeof(T))), count);

    /// <summary>All of it as a span.</summary>
    public Span<byte> AsSpan() => AsSpan<byte>(0, checked((int)Bytes));

    internal ref byte Slice(long offset, long bytes)
    {
        if (offset < 0 || bytes < 0 || offset > Bytes - bytes)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset:N0} to {offset + bytes:N0} lie outside a pinned buffer of {Bytes:N0}.");
        }

        return ref *((byte*)Native + offset);
    }

    private protected override void Free(nint native)
    {
        CudaDriver.cuMemFreeHost(native);
        Context.Memory.AddPinned(-Bytes);
    }
}
