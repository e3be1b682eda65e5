namespace LazyLlm.Native.Errors;

/// <summary>
/// The base of every error that the engine raises by itself. Its message names what failed, where, what was found,
/// what was expected, and what to do. Misuse of the API (null, a disposed object) raises the usual .NET exceptions.
/// </summary>
public abstract class LazyLlmException : Exception
{
    private protected LazyLlmException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
