namespace LazyLlm.Native.Errors;

/// <summary>The scheduler's queue is full. The request was not taken; try again later.</summary>
public sealed class QueueFullException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="waiting">Requests that wait.</param>
    /// <param name="limit">Requests that may wait.</param>
    public QueueFullException(int waiting, int limit)
        : base($"{waiting} requests are waiting and the queue holds {limit}. Try again later, or raise the queue's limit.")
    {
        Limit = limit;
    }

    /// <summary>Requests that may wait.</summary>
    public int Limit { get; }
}
