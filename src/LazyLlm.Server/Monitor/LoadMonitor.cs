using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using Microsoft.Extensions.Hosting;

namespace LazyLlm.Server.Monitor;

/// <summary>
/// Remembers a scheduler's last quarter of an hour: its load once a second, and the figures of the requests that ended.
/// Every viewer reads the same memory; asking costs the scheduler nothing but a look at its status.
/// </summary>
internal sealed class LoadMonitor : BackgroundService
{
    private const int RememberedSamples = 900;
    private const int RememberedRequests = 500;
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly Scheduler _scheduler;
    private readonly TimeProvider _time;
    private readonly MonitorServer _server;
    private readonly History<MonitorSample> _samples = new(RememberedSamples);
    private readonly History<EndedRequest> _ended = new(RememberedRequests);

    public LoadMonitor(ServedModel model, TimeProvider time)
    {
        _scheduler = model.Scheduler;
        _time = time;
        LlamaEngine engine = model.Engine;
        _server = new MonitorServer(
            Now,
            model.Name,
            engine.DeviceName,
            engine.Config.LayerCount,
            engine.ContextLength,
            engine.WeightBytes,
            model.Options.Pruning.ToString(),
            _scheduler.Options.QueueLimit,
            _scheduler.Options.RunningLimit,
            _scheduler.MemoryBudget);
        _scheduler.Ended += Remember;
    }

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>The present, and what came after the entries that the viewer has.</summary>
    public MonitorState StateAfter(long sample, long ended)
    {
        SchedulerStatus status = _scheduler.Status;
        long now = Now;
        return new MonitorState
        {
            Server = _server,
            Now = now,
            Fault = _scheduler.Fault?.Message,
            Load = MonitorSample.From(status, 0, now),
            Running = [.. status.Requests.Select(RunningRequest.From)],
            Samples = _samples.After(sample),
            Ended = _ended.After(ended),
        };
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _scheduler.Ended -= Remember;
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Period, _time);
        try
        {
            do
            {
                SchedulerStatus status = _scheduler.Status;
                _samples.Add(id => MonitorSample.From(status, id, Now));
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // The server stops.
        }
    }

    private void Remember(ScheduledAnswer answer) => _ended.Add(id => EndedRequest.From(answer, id, Now));
}
