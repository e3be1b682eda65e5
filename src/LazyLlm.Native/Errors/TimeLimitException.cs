namespace LazyLlm.Native.Errors;

/// <summary>A request ran into its time limit, waiting time included. What it had generated until then was given out.</summary>
public sealed class TimeLimitException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="limit">The request's limit.</param>
    /// <param name="state">What the request was doing: waiting, prefill, decode.</param>
    public TimeLimitException(TimeSpan limit, string state)
        : base($"The request reached its time limit of {limit.TotalSeconds:0.###} s during {state}. Raise the limit, or ask for fewer tokens.")
    {
        Limit = limit;
        State = state;
    }

    /// <summary>The request's limit.</summary>
    public TimeSpan Limit { get; }

    /// <summary>What the request was doing: waiting, prefill, decode.</summary>
    public string State { get; }
}
