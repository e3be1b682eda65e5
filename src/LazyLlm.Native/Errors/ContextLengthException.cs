namespace LazyLlm.Native.Errors;

/// <summary>A step would make the sequence longer than the context that the model or the session allows.</summary>
public sealed class ContextLengthException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="requested">Tokens that the sequence would have.</param>
    /// <param name="limit">Tokens that it may have.</param>
    public ContextLengthException(long requested, int limit)
        : base($"The sequence would have {requested} tokens, but its context holds {limit}. Shorten the prompt, or start a new session.")
    {
        Requested = requested;
        Limit = limit;
    }

    /// <summary>Tokens that the sequence would have had.</summary>
    public long Requested { get; }

    /// <summary>Tokens that it may have.</summary>
    public int Limit { get; }
}
