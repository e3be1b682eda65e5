using System.Diagnostics;
using System.Diagnostics.Metrics;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Metrics;

/// <summary>What the server observes of its scheduler and process when somebody asks: the meter <c>LazyLlm.Server</c>.</summary>
internal sealed class ServerInstruments
{
    /// <summary>The meter's name, for listeners.</summary>
    public const string MeterName = "LazyLlm.Server";

    /// <summary>Creates the instruments, which live as long as the factory.</summary>
    public ServerInstruments(IMeterFactory meters, ServedModel model)
    {
        Scheduler scheduler = model.Scheduler;
        Meter meter = meters.Create(MeterName);
        meter.CreateObservableGauge("lazyllm.scheduler.memory.in_use", () => scheduler.Status.MemoryInUse, "By", "Bytes that requests and saved prefixes take from the device.");
        meter.CreateObservableGauge("lazyllm.scheduler.memory.promised", () => scheduler.Status.MemoryPromised, "By", "Bytes that admitted requests may grow to, saved prefixes included.");
        meter.CreateObservableGauge("lazyllm.scheduler.memory.budget", () => scheduler.MemoryBudget, "By", "Bytes that requests and saved prefixes may take.");
        meter.CreateObservableGauge("lazyllm.scheduler.saved_prefixes", () => scheduler.Status.SavedPrefixes, "{prefix}", "Prompt beginnings kept for reuse.");
        meter.CreateObservableGauge("lazyllm.scheduler.queue.limit", () => scheduler.Options.QueueLimit, "{request}", "Requests that may wait.");
        meter.CreateObservableGauge("lazyllm.scheduler.running.limit", () => scheduler.Options.RunningLimit, "{request}", "Requests that may run at a time.");
        meter.CreateObservableGauge("lazyllm.engine.faulted", () => scheduler.Fault is null ? 0 : 1, null, "1 once the device has failed for good.");
        meter.CreateObservableGauge("lazyllm.model.weights", () => model.Engine.WeightBytes, "By", "Bytes that the weights take on the device.");
        var info = new KeyValuePair<string, object?>[]
        {
            new("model", model.Name),
            new("device", model.Engine.DeviceName),
            new("version", typeof(ServerInstruments).Assembly.GetName().Version?.ToString(3)),
        };
        meter.CreateObservableGauge("lazyllm.server.info", () => new Measurement<int>(1, info), null, "The model, its device and the server's version.");
        double started = new DateTimeOffset(Process.GetCurrentProcess().StartTime.ToUniversalTime()).ToUnixTimeMilliseconds() / 1_000.0;
        meter.CreateObservableGauge("process.start_time", () => started, "s", "When the process started, in seconds since 1970.");
    }
}
