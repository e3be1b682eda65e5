using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>Keeps the first error that poisoned a context. Safe from every thread.</summary>
internal sealed class DeviceHealth
{
    private DeviceLostException? _cause;

    /// <summary>The first such error; null while the device is well.</summary>
    public DeviceLostException? Cause => Volatile.Read(ref _cause);

    /// <summary>Stores an error, unless there was one before.</summary>
    /// <returns>The error to throw: this one if it came first, else a repetition of the first.</returns>
    public DeviceLostException Report(DeviceLostException error) =>
        Interlocked.CompareExchange(ref _cause, error, null)?.Repeat() ?? error;

    /// <summary>Throws the first error again, if there was one.</summary>
    public void ThrowIfLost()
    {
        if (Cause is { } cause)
        {
            throw cause.Repeat();
        }
    }
}
