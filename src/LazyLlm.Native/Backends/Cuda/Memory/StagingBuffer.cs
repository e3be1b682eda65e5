using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Memory;

/// <summary>
/// Pinned memory that is filled and sent again and again, with a mark behind the last copy from it. Made when it is needed first;
/// it belongs to one thread at a time. What is on its way has to be waited for before it is disposed.
/// </summary>
internal sealed class StagingBuffer(CudaContext context) : IDisposable
{
    private PinnedBuffer? _buffer;
    private CudaEvent? _sent;

    /// <summary>The memory, once the device has read what was sent from it last.</summary>
    /// <param name="bytes">Its size at least; it grows where it is smaller.</param>
    /// <exception cref="Errors.DeviceMemoryException">The system does not pin that much.</exception>
    public PinnedBuffer Await(long bytes)
    {
        if (_sent is null)
        {
            _sent = new CudaEvent(context);
        }
        else
        {
            _sent.Synchronize();
        }

        if (_buffer is null || _buffer.Bytes < bytes)
        {
            _buffer?.Dispose();
            _buffer = new PinnedBuffer(context, bytes, "staging of weights");
        }

        return _buffer;
    }

    /// <summary>Marks the end of a copy that was just enqueued.</summary>
    public void MarkSent(CudaStream stream) => _sent!.Record(stream);

    /// <inheritdoc/>
    public void Dispose()
    {
        _buffer?.Dispose();
        _sent?.Dispose();
    }
}
