namespace LazyLlm.Native.Errors;

/// <summary>
/// A model's logits leave no token to choose: one of them is NaN or positive infinity, or all are negative infinity.
/// Damaged weights do this, and numbers that overflow their format.
/// </summary>
public sealed class InvalidLogitsException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="problem">What was found, what was expected and what to do.</param>
    public InvalidLogitsException(string problem)
        : base(problem)
    {
    }
}
