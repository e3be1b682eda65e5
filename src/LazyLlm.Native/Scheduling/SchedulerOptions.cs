namespace LazyLlm.Native.Scheduling;

/// <summary>The limits of a <see cref="Scheduler"/>.</summary>
public sealed record SchedulerOptions
{
    /// <summary>Requests that may wait for their turn; one more gets a <see cref="Errors.QueueFullException"/>.</summary>
    public int QueueLimit { get; init; } = 64;

    /// <summary>Requests that hold a session at a time.</summary>
    public int RunningLimit { get; init; } = 16;

    /// <summary>Prompts that are under way at a time, taking turns layer by layer. Each holds rows for its whole prompt.</summary>
    public int PrefillLimit { get; init; } = 2;

    /// <summary>Tokens that wait for a slow reader before its request gets no more turns.</summary>
    public int UnreadLimit { get; init; } = 64;

    /// <summary>
    /// Bytes that caches and rows of all requests may take; a request whose schedule needs more than is left waits. Null for
    /// four fifths of what the device has free when the scheduler is created.
    /// </summary>
    public long? MemoryBudget { get; init; }

    /// <summary>Bytes within the budget that saved prompt beginnings may keep, the least recently used going first.</summary>
    public long PrefixBudget { get; init; } = 256L << 20;

    /// <summary>Longest time that a request may take, waiting included, where it names no other. Null for no limit.</summary>
    public TimeSpan? TimeLimit { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(QueueLimit, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(RunningLimit, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(PrefillLimit, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(UnreadLimit, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(PrefixBudget);
        ArgumentOutOfRangeException.ThrowIfLessThan(MemoryBudget ?? 1, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(TimeLimit ?? TimeSpan.MaxValue, TimeSpan.Zero);
    }
}
