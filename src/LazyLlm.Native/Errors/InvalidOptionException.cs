namespace LazyLlm.Native.Errors;

/// <summary>An option or argument of a request is outside what the engine accepts: a schedule, a sampling option, a token id.</summary>
public sealed class InvalidOptionException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="option">The option or argument at fault.</param>
    /// <param name="problem">What was found, what was expected and what to do.</param>
    public InvalidOptionException(string option, string problem)
        : base($"{option}: {problem}")
    {
        Option = option;
    }

    /// <summary>The option or argument at fault.</summary>
    public string Option { get; }
}
