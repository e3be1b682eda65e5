namespace LazyLlm.Native.Errors;

/// <summary>There is not enough memory on the device or the host for what was asked. The engine goes on.</summary>
public sealed class DeviceMemoryException : DeviceException
{
    /// <summary>Creates the error.</summary>
    /// <param name="what">What the memory was for.</param>
    /// <param name="requestedBytes">Bytes asked for, or a negative number where the driver does not say.</param>
    /// <param name="availableBytes">Bytes that were free, or a negative number where this is not known.</param>
    /// <param name="advice">What would fit, or what to do.</param>
    /// <param name="innerException">The cause, where another exception reported it.</param>
    public DeviceMemoryException(string what, long requestedBytes, long availableBytes, string advice, Exception? innerException = null)
        : base(Describe(what, requestedBytes, availableBytes, advice), innerException)
    {
        RequestedBytes = requestedBytes;
        AvailableBytes = availableBytes;
    }

    /// <summary>Bytes asked for, or a negative number where this is not known.</summary>
    public long RequestedBytes { get; }

    /// <summary>Bytes that were free, or a negative number where this is not known.</summary>
    public long AvailableBytes { get; }

    private static string Describe(string what, long requested, long available, string advice)
    {
        if (requested < 0)
        {
            return $"Not enough memory for {what}. {advice}";
        }

        string missing = available < requested ? $" ({requested - available:N0} too few)" : string.Empty;
        string free = available < 0 ? "not that many are free" : $"{available:N0} are free{missing}";
        return $"Not enough memory for {what}: {requested:N0} bytes are needed, {free}. {advice}";
    }
}
