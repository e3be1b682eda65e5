namespace LazyLlm.Native.Scheduling;

/// <summary>Where a request stands.</summary>
public enum RequestState
{
    /// <summary>In the queue.</summary>
    Waiting,

    /// <summary>Its prompt is being computed.</summary>
    Prefill,

    /// <summary>Its answer is being generated.</summary>
    Decode,

    /// <summary>Over: finished, failed or cancelled.</summary>
    Ended,
}
