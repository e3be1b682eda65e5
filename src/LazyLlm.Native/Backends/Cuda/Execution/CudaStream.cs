using System.Runtime.CompilerServices;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>A queue of work that runs in order. It belongs to one caller at a time, and waits for no other stream.</summary>
internal sealed unsafe class CudaStream : CudaResource
{
    private const uint NonBlocking = 1;

    /// <summary>Creates a stream.</summary>
    /// <param name="context">The context.</param>
    public CudaStream(CudaContext context)
        : base(context)
    {
        context.Enter();
        context.Check(CudaDriver.cuStreamCreate(out nint stream, NonBlocking));
        Own(stream);
    }

    /// <summary>Whether work is recorded into a graph rather than run.</summary>
    public bool IsCapturing { get; internal set; }

    /// <summary>Waits until everything enqueued is done.</summary>
    /// <exception cref="DeviceLostException">A kernel failed.</exception>
    public void Synchronize()
    {
        Context.Enter();
        Context.Check(CudaDriver.cuStreamSynchronize(Native));
    }

    /// <summary>Whether everything enqueued is done.</summary>
    public bool IsIdle()
    {
        Context.Enter();
        CuResult result = CudaDriver.cuStreamQuery(Native);
        if (result != CuResult.NotReady)
        {
            Context.Check(result, call: nameof(CudaDriver.cuStreamQuery));
        }

        return result == CuResult.Success;
    }

    /// <summary>Makes later work wait for an event of another stream.</summary>
    /// <param name="e">The event, recorded before.</param>
    public void Wait(CudaEvent e)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuStreamWaitEvent(Native, e.Native, 0));
    }

    /// <summary>Enqueues a copy from pinned host memory; the source must stay as it is until the copy is done.</summary>
    /// <param name="destination">Device address.</param>
    /// <param name="source">Pinned memory.</param>
    /// <param name="sourceOffset">First byte of the source.</param>
    /// <param name="bytes">Bytes to copy.</param>
    public void Upload(ulong destination, PinnedBuffer source, long sourceOffset, long bytes)
    {
        void* from = Unsafe.AsPointer(ref source.Slice(sourceOffset, bytes));
        Context.Enter();
        Context.Check(CudaDriver.cuMemcpyHtoDAsync_v2(destination, from, (nuint)bytes, Native));
    }

    /// <summary>Enqueues a copy to pinned host memory; it is there when the stream is done.</summary>
    /// <param name="destination">Pinned memory.</param>
    /// <param name="destinationOffset">First byte of the destination.</param>
    /// <param name="source">Device address.</param>
    /// <param name="bytes">Bytes to copy.</param>
    public void Download(PinnedBuffer destination, long destinationOffset, ulong source, long bytes)
    {
        void* to = Unsafe.AsPointer(ref destination.Slice(destinationOffset, bytes));
        Context.Enter();
        Context.Check(CudaDriver.cuMemcpyDtoHAsync_v2(to, source, (nuint)bytes, Native));
    }

    /// <summary>Copies from any host memory, and waits.</summary>
    /// <typeparam name="T">A type of plain data.</typeparam>
    /// <param name="destination">Device address.</param>
    /// <param name="source">What to copy.</param>
    public void UploadNow<T>(ulong destination, ReadOnlySpan<T> source)
        where T : unmanaged
    {
        Context.Enter();
        fixed (T* from = source)
        {
            Context.Check(CudaDriver.cuMemcpyHtoDAsync_v2(destination, from, (nuint)source.Length * (nuint)sizeof(T), Native));
            Context.Check(CudaDriver.cuStreamSynchronize(Native));
        }
    }

    /// <summary>Copies to any host memory, and waits.</summary>
    /// <typeparam name="T">A type of plain data.</typeparam>
    /// <param name="destination">Where to copy to.</param>
    /// <param name="source">Device address.</param>
    public void DownloadNow<T>(Span<T> destination, ulong source)
        where T : unmanaged
    {
        Context.Enter();
        fixed (T* to = destination)
        {
            Context.Check(CudaDriver.cuMemcpyDtoHAsync_v2(to, source, (nuint)destination.Length * (nuint)sizeof(T), Native));
            Context.Check(CudaDriver.cuStreamSynchronize(Native));
        }
    }

    /// <summary>Enqueues a copy within the device.</summary>
    /// <param name="destination">Device address.</param>
    /// <param name="source">Device address; the ranges do not overlap.</param>
    /// <param name="bytes">Bytes to copy.</param>
    public void Copy(ulong destination, ulong source, long bytes)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuMemcpyDtoDAsync_v2(destination, source, (nuint)bytes, Native));
    }

    /// <summary>Enqueues a fill with one byte's value.</summary>
    /// <param name="destination">Device address.</param>
    /// <param name="value">The value of each byte.</param>
    /// <param name="bytes">Bytes to fill.</param>
    public void Fill(ulong destination, byte value, long bytes)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuMemsetD8Async(destination, value, (nuint)bytes, Native));
    }

    /// <summary>Enqueues a fill with one 32-bit word.</summary>
    /// <param name="destination">Device address, a multiple of 4.</param>
    /// <param name="value">The value of each word.</param>
    /// <param name="count">Words to fill.</param>
    public void FillWords(ulong destination, uint value, long count)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuMemsetD32Async(destination, value, (nuint)count, Native));
    }

    private protected override void Free(nint native) => CudaDriver.cuStreamDestroy_v2(native);
}
