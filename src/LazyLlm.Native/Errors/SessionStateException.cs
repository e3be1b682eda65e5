namespace LazyLlm.Native.Errors;

/// <summary>A session was used by two callers at once, or after a step that failed half-way.</summary>
public sealed class SessionStateException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What state the session is in and what to do.</param>
    /// <param name="innerException">The failure that put it there, if any.</param>
    public SessionStateException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
