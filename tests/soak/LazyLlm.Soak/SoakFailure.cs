namespace LazyLlm.Soak;

/// <summary>What must not happen did.</summary>
internal sealed class SoakFailure(string message) : Exception(message);
