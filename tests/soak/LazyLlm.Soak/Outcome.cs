namespace LazyLlm.Soak;

/// <summary>How a request ended.</summary>
internal enum Outcome
{
    /// <summary>With the right answer.</summary>
    Right,

    /// <summary>Its caller left, and what had come until then was right.</summary>
    Left,

    /// <summary>It was wrong, and was refused.</summary>
    Refused,

    /// <summary>The queue was full.</summary>
    TurnedAway,
}
