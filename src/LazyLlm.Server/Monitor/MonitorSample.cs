using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Monitor;

/// <summary>The scheduler's load at a moment (milliseconds since 1970); memory in bytes.</summary>
internal sealed record MonitorSample(long Id, long At, int Waiting, int Running, long KeyValueBytes, long AuxBytes, long MemoryInUse, long MemoryPromised)
{
    public static MonitorSample From(SchedulerStatus status, long id, long at) =>
        new(id, at, status.Waiting, status.Running, status.KeyValueBytes, status.AuxBytes, status.MemoryInUse, status.MemoryPromised);
}
