using System.Runtime.InteropServices;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Float32 numbers outside the managed heap, 64-byte aligned, that grow and are kept for reuse.</summary>
internal sealed unsafe class FloatBuffer : SafeHandle
{
    public FloatBuffer()
        : base(0, ownsHandle: true)
    {
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Floats there is room for.</summary>
    public long Capacity { get; private set; }

    /// <summary>Bytes taken.</summary>
    public long AllocatedBytes => Capacity * sizeof(float);

    /// <summary>The numbers; moves when the buffer grows.</summary>
    public float* Pointer => (float*)handle;

    /// <summary>Makes room for <paramref name="count"/> floats; contents are lost if it has to grow. New room is uninitialised.</summary>
    /// <exception cref="DeviceMemoryException">There is not so much memory; the buffer is empty then.</exception>
    public float* Reserve(long count)
    {
        if (count > Capacity)
        {
            NativeMemory.AlignedFree(Pointer);
            SetHandle(0);
            Capacity = 0;
            Allocate(count);
        }

        return Pointer;
    }

    /// <summary>Makes room for exactly <paramref name="count"/> floats, if there is less, and keeps what is there.</summary>
    /// <exception cref="DeviceMemoryException">There is not so much memory; the buffer is as it was.</exception>
    public void Grow(long count)
    {
        if (count > Capacity)
        {
            float* old = Pointer;
            long kept = Capacity;
            Allocate(count);
            NativeMemory.Copy(old, Pointer, (nuint)kept * sizeof(float));
            NativeMemory.AlignedFree(old);
        }
    }

    /// <summary>A copy of the first <paramref name="count"/> floats.</summary>
    public FloatBuffer Copy(long count)
    {
        var copy = new FloatBuffer();
        copy.Reserve(count);
        NativeMemory.Copy(Pointer, copy.Pointer, (nuint)count * sizeof(float));
        return copy;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree(Pointer);
        return true;
    }

    private void Allocate(long count)
    {
        try
        {
            SetHandle((nint)NativeMemory.AlignedAlloc(checked((nuint)count * sizeof(float)), 64));
        }
        catch (Exception exception) when (exception is OutOfMemoryException or OverflowException)
        {
            throw new DeviceMemoryException(
                "weights or rows on the CPU", count > long.MaxValue / sizeof(float) ? -1 : count * sizeof(float), -1, "Use a shorter context, fewer sessions or a smaller model.", exception);
        }

        Capacity = count;
    }
}
