namespace LazyLlm.Soak;

/// <summary>What a caller does with its request.</summary>
internal enum Behaviour
{
    /// <summary>Reads the answer as it comes, to its end.</summary>
    ReadTokens,

    /// <summary>Waits for the whole answer.</summary>
    ReadWhole,

    /// <summary>Reads to the end, with pauses.</summary>
    ReadSlowly,

    /// <summary>Leaves after a moment, wherever the request then stands: in the queue, in the prompt, in the answer.</summary>
    LeaveInTime,

    /// <summary>Leaves after some tokens.</summary>
    LeaveInAnswer,

    /// <summary>Asks for what must be refused.</summary>
    AskWrongly,
}
