using System.Diagnostics;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Scheduling;

/// <summary>
/// Many callers, one device. Requests wait in a bounded queue, in order of arrival, until there is memory for what their
/// schedules need; then they take turns: in each turn every decoding request gets one token, those whose schedules cut the
/// layers alike in one pass, and one prompt goes one layer further. So between two tokens of an answer there is at most
/// one decode step of every group and one layer of the longest prompt. Each answer is, bit for bit, what its request gives
/// alone. Safe for any number of threads.
/// </summary>
/// <remarks>
/// A pass that fails is undone, and its requests are tried one by one: those that fail again end with the error, the others
/// go on. After a <see cref="DeviceLostException"/> every request ends with it, and so does every later one.
/// The scheduler keeps its engine alive; the two may be disposed in any order.
/// </remarks>
public sealed partial class Scheduler : IDisposable
{
    private static readonly TimeSpan MeasurePeriod = TimeSpan.FromMilliseconds(100);

    private readonly object _gate = new();
    private readonly LinkedList<ScheduledAnswer> _queue = [];
    private readonly List<ScheduledRun> _running = [];
    private readonly LlamaEngine _engine;
    private readonly string _modelName;
    private readonly MemoryEstimate _estimate;
    private readonly PrefixStore _prefixes;
    private readonly Thread _thread;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _requests;
    private bool _isStopping;
    private bool _isWoken;
    private volatile bool _isCancelled;

    /// <summary>Starts a scheduler's thread.</summary>
    /// <param name="engine">The model.</param>
    /// <param name="options">The limits; defaults where null.</param>
    /// <exception cref="ArgumentOutOfRangeException">A limit is out of range.</exception>
    public Scheduler(LlamaEngine engine, SchedulerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        Options = options ?? new SchedulerOptions();
        Options.Validate();
        _engine = engine;
        _modelName = engine.Folder.Name;
        MemoryBudget = Options.MemoryBudget ?? engine.FreeBytes / 5 * 4;
        _prefixes = new PrefixStore(engine, Math.Min(Options.PrefixBudget, MemoryBudget / 2));
        _estimate = new MemoryEstimate(engine);
        _decode = new DecodeRound(engine, GoOn);
        engine.Acquire();
        _thread = new Thread(Run) { IsBackground = true, Name = "LazyLlm scheduler" };
        _thread.Start();
    }

    /// <summary>The limits.</summary>
    public SchedulerOptions Options { get; }

    /// <summary>The model.</summary>
    public LlamaEngine Engine => _engine;

    /// <summary>Bytes that requests and saved prefixes may take.</summary>
    public long MemoryBudget { get; }

    /// <summary>The error that ended the device's service, or null: what a health check looks at.</summary>
    public DeviceLostException? Fault => _engine.Fault;

    /// <summary>
    /// Told of every answer that has ended, its figures complete. Runs on the scheduler's thread, between two steps: note
    /// what is needed, and return. What it throws is lost: no request may end because of it.
    /// </summary>
    public event Action<ScheduledAnswer>? Ended;

    /// <summary>What happens now. Memory in use is measured ten times a second while requests run.</summary>
    public SchedulerStatus Status
    {
        get
        {
            lock (_gate)
            {
                return new SchedulerStatus(
                    _queue.Count, _running.Count, _memoryInUse, Promised, MemoryBudget, _prefixes.Count, _keyValueBytes, _auxBytes, [.. _running.Select(r => r.Answer)]);
            }
        }
    }

    private long Promised => _prefixes.Bytes + _running.Sum(r => Math.Max(r.Answer.PromisedBytes, r.MeasuredBytes));

    /// <summary>Takes a request: checks it, and puts it into the queue.</summary>
    /// <param name="request">What to generate.</param>
    /// <param name="cancellation">Ends the request, wherever it stands, within a layer.</param>
    /// <exception cref="InvalidOptionException">Tokens, schedule, sampling or prefix are not acceptable.</exception>
    /// <exception cref="ContextLengthException">The prompt is longer than the context.</exception>
    /// <exception cref="DeviceMemoryException">The request needs more than the whole budget.</exception>
    /// <exception cref="QueueFullException">Too many requests wait.</exception>
    /// <exception cref="DeviceLostException">The device has failed for good.</exception>
    /// <exception cref="ObjectDisposedException">The scheduler has stopped.</exception>
    public ScheduledAnswer Submit(GenerationRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        try
        {
            return Enqueue(request, cancellation);
        }
        catch (LazyLlmException error)
        {
            RequestTelemetry.RecordRefusal(request, ModelNameOf(request), error);
            throw;
        }
    }

    private ScheduledAnswer Enqueue(GenerationRequest request, CancellationToken cancellation)
    {
        Check(request);
        long memory = _estimate.Of(request.Schedule.PlanFor(_engine.Config.LayerCount), request.Tokens.Length, request.Sampling.MaxTokens);
        if (memory > MemoryBudget)
        {
            throw new DeviceMemoryException("the request's caches", memory, MemoryBudget, "Shorten the prompt, ask for fewer tokens, or prune more.");
        }

        cancellation.ThrowIfCancellationRequested();
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isStopping, this);
            if (Fault is DeviceLostException fault)
            {
                throw fault.Repeat();
            }

            if (_queue.Count >= Options.QueueLimit)
            {
                throw new QueueFullException(_queue.Count, Options.QueueLimit);
            }

            var answer = new ScheduledAnswer(this, request, ++_requests, memory, request.TimeLimit ?? Options.TimeLimit, cancellation);
            _queue.AddLast(answer);
            EngineMetrics.RecordRequests(1, 0);
            WakeLocked();
            return answer;
        }
    }

    /// <summary>Takes no more requests, and waits for those it has to end.</summary>
    /// <param name="cancellation">Ends them early: they are cancelled then.</param>
    public async Task StopAsync(CancellationToken cancellation = default)
    {
        lock (_gate)
        {
            _isStopping = true;
            WakeLocked();
        }

        await using CancellationTokenRegistration registration = cancellation.UnsafeRegister(static (scheduler, _) => ((Scheduler)scheduler!).CancelAll(), this);
        await _stopped.Task.ConfigureAwait(false);
    }

    /// <summary>Cancels what runs and waits for the scheduler's thread. May be called twice.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _isStopping = true;
            CancelAll();
        }

        _stopped.Task.Wait();
    }

    /// <summary>Whether every request has to end.</summary>
    internal bool IsCancelled => _isCancelled;

    internal string ModelNameOf(GenerationRequest request) => request.Model ?? _modelName;

    internal void Tell(ScheduledAnswer answer)
    {
        try
        {
            Ended?.Invoke(answer);
        }
#pragma warning disable CA1031 // A log that is full, say, must not end the scheduler's thread.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    internal void Wake()
    {
        lock (_gate)
        {
            WakeLocked();
        }
    }

    private void WakeLocked()
    {
        _isWoken = true;
        Monitor.Pulse(_gate);
    }

    private void CancelAll()
    {
        _isCancelled = true;
        Wake();
    }

    private void Check(GenerationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request.Schedule);
        ArgumentNullException.ThrowIfNull(request.Sampling);
        _engine.Require(request.Sampling);
        ReadOnlySpan<int> tokens = request.Tokens.Span;
        if (tokens.IsEmpty)
        {
            throw new InvalidOptionException("prompt", "found no tokens, expected one at least.");
        }

        if (tokens.Length > _engine.ContextLength)
        {
            throw new ContextLengthException(tokens.Length, _engine.ContextLength);
        }

        _engine.Require(tokens);
        if (request.SharedPrefix < 0 || request.SharedPrefix >= tokens.Length)
        {
            throw new InvalidOptionException("shared prefix", $"found {request.SharedPrefix} tokens, expected 0 to {tokens.Length - 1}: less than the prompt.");
        }

        if (request.TimeLimit is TimeSpan limit && limit <= TimeSpan.Zero)
        {
            throw new InvalidOptionException("time limit", $"found {limit.TotalSeconds} s, expected more than 0.");
        }
    }
}
