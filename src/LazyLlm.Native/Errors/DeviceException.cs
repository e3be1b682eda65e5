namespace LazyLlm.Native.Errors;

/// <summary>A device, its driver or its compiler refused: the base of what the CUDA backend raises.</summary>
public class DeviceException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What failed, where, and what to do.</param>
    /// <param name="innerException">The cause, where another exception reported it.</param>
    public DeviceException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
