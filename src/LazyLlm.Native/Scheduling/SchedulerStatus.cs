using System.Collections.Immutable;

namespace LazyLlm.Native.Scheduling;

/// <summary>A moment of a scheduler's life, for monitors.</summary>
/// <param name="Waiting">Requests in the queue.</param>
/// <param name="Running">Requests that hold a session.</param>
/// <param name="MemoryInUse">Bytes that their caches and saved prefixes take from the device.</param>
/// <param name="MemoryPromised">Bytes that admitted requests may grow to, saved prefixes included.</param>
/// <param name="MemoryBudget">Bytes that they may take.</param>
/// <param name="SavedPrefixes">Prompt beginnings kept for reuse.</param>
/// <param name="KeyValueBytes">K and V of running requests and saved prefixes in use.</param>
/// <param name="AuxBytes">Their Aux caches in use.</param>
/// <param name="Requests">The running requests.</param>
public sealed record SchedulerStatus(
    int Waiting,
    int Running,
    long MemoryInUse,
    long MemoryPromised,
    long MemoryBudget,
    int SavedPrefixes,
    long KeyValueBytes,
    long AuxBytes,
    ImmutableArray<ScheduledAnswer> Requests);
