using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;

namespace LazyLlm.Native.Scheduling;

/// <summary>
/// The answer to one request: its tokens as they come, and its figures once it has ended. Read it to the end, or dispose
/// it: an answer that is disposed, or whose reader left, takes no more turns, and its memory returns.
/// </summary>
public sealed class ScheduledAnswer : IAsyncDisposable
{
    private readonly Channel<GeneratedToken> _tokens = Channel.CreateUnbounded<GeneratedToken>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenRegistration _registration;
    private readonly CancellationToken _cancellation;
    private readonly Scheduler _scheduler;
    private readonly RequestTelemetry _telemetry;
    private readonly long _queued = Stopwatch.GetTimestamp();
    private volatile bool _isCancelled;
    private volatile int _state;
    private int _unread;

    internal ScheduledAnswer(Scheduler scheduler, GenerationRequest request, long number, long memory, TimeSpan? timeLimit, CancellationToken cancellation)
    {
        _scheduler = scheduler;
        Request = request;
        Number = number;
        PromisedBytes = memory;
        TimeLimit = timeLimit;
        _cancellation = cancellation;
        Submitted = Math.Min(request.Arrival ?? _queued, _queued);
        _telemetry = new RequestTelemetry(request, scheduler.ModelNameOf(request), Age);
        _registration = cancellation.UnsafeRegister(static (answer, _) => ((ScheduledAnswer)answer!).Cancel(), this);
    }

    /// <summary>Number of the request at its scheduler, from 1 on.</summary>
    public long Number { get; }

    /// <summary>What was asked.</summary>
    public GenerationRequest Request { get; }

    /// <summary>Where the request stands.</summary>
    public RequestState State => (RequestState)_state;

    /// <summary>Tokens generated so far.</summary>
    public int GeneratedTokens { get; private set; }

    /// <summary>Layers of the prefill that have run.</summary>
    public int PrefillLayers { get; internal set; }

    /// <summary>Prompt tokens that a saved prefix spared.</summary>
    public int ReusedTokens { get; internal set; }

    /// <summary>Time in the queue; zero while it is still there.</summary>
    public TimeSpan QueueTime { get; private set; }

    /// <summary>From the request's arrival to its first token; zero while there is none.</summary>
    public TimeSpan TimeToFirstToken { get; private set; }

    /// <summary>Why the answer finished; <see cref="FinishReason.None"/> before that, and where it failed.</summary>
    public FinishReason Finish { get; private set; }

    /// <summary>Why the answer ended early, or null.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Time since the request arrived.</summary>
    public TimeSpan Age => Stopwatch.GetElapsedTime(Submitted);

    /// <summary>The figures of the run, with times from the moment of the request on; null until the answer has ended.</summary>
    public RunStatistics? Statistics { get; internal set; }

    /// <summary>What the stages of the prompt's last step saw; null without <see cref="GenerationRequest.Tracing"/>.</summary>
    public StepTrace? PrefillTrace { get; internal set; }

    internal long Submitted { get; }

    /// <summary>How old the request was when it began to run.</summary>
    internal TimeSpan StartAge { get; private set; }

    internal long PromisedBytes { get; }

    internal TimeSpan? TimeLimit { get; }

    internal bool IsReaderSlow => Volatile.Read(ref _unread) >= _scheduler.Options.UnreadLimit;

    /// <summary>The tokens as they come. One reader, once: a reader that stops before the end ends the request.</summary>
    /// <exception cref="OperationCanceledException">The request was cancelled, or the answer disposed.</exception>
    /// <exception cref="TimeLimitException">The request took too long.</exception>
    /// <exception cref="LazyLlmException">The device failed.</exception>
    public async IAsyncEnumerable<GeneratedToken> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var reader = new Reader(this);
        // The channel keeps a wait that cannot be cancelled, for reuse, and with it whoever waited: also a dropped enumerator.
        CancellationToken wait = cancellation.CanBeCanceled ? cancellation : reader.Never;
        await foreach (GeneratedToken token in _tokens.Reader.ReadAllAsync(wait).ConfigureAwait(false))
        {
            if (Interlocked.Decrement(ref _unread) == _scheduler.Options.UnreadLimit - 1)
            {
                _scheduler.Wake();
            }

            yield return token;
        }
    }

    /// <summary>Ends the request, wherever it stands, within a layer of the step under way. Does not wait for it.</summary>
    public void Cancel()
    {
        _isCancelled = true;
        _scheduler.Wake();
    }

    /// <summary>Ends the request if it still runs, and waits until its memory is back.</summary>
    public async ValueTask DisposeAsync()
    {
        Cancel();
        await _ended.Task.ConfigureAwait(false);
    }

    /// <summary>Why the request has to end now, or null.</summary>
    internal Exception? Verdict()
    {
        if (_isCancelled || _scheduler.IsCancelled)
        {
            return _cancellation.IsCancellationRequested
                ? new OperationCanceledException(_cancellation)
                : new OperationCanceledException("The answer was disposed or its reader left before its end, or the scheduler has stopped.");
        }

        return TimeLimit is TimeSpan limit && Age >= limit ? new TimeLimitException(limit, State.ToString().ToLowerInvariant()) : null;
    }

    internal void Enter(RequestState state)
    {
        if (State == RequestState.Waiting)
        {
            QueueTime = Stopwatch.GetElapsedTime(_queued);
            StartAge = Age;
            _telemetry.Admit(QueueTime, ReusedTokens);
        }
        else
        {
            _telemetry.BeginDecode();
        }

        _state = (int)state;
    }

    internal void Write(GeneratedToken token)
    {
        if (GeneratedTokens++ == 0)
        {
            TimeToFirstToken = Statistics?.TimeToFirstToken ?? Age;
            _telemetry.RecordFirstToken(TimeToFirstToken);
        }

        Finish = token.Finish;
        Interlocked.Increment(ref _unread);
        _tokens.Writer.TryWrite(token);
    }

    internal void End(Exception? failure)
    {
        _registration.Unregister();
        _state = (int)RequestState.Ended;
        Failure = failure;
        try
        {
            _telemetry.End(Age, Statistics, Finish, failure);
            _scheduler.Tell(this);
        }
        finally
        {
            _tokens.Writer.TryComplete(failure);
            _ended.TrySetResult();
        }
    }

    private void LoseReader()
    {
        if (State != RequestState.Ended)
        {
            Cancel();
        }
    }

    /// <summary>Who reads. The scheduler does not know it, so that an enumerator which is dropped without being disposed is collected.</summary>
    private sealed class Reader(ScheduledAnswer answer) : IDisposable
    {
        private readonly CancellationTokenSource _never = new();

        ~Reader() => answer.LoseReader();

        /// <summary>Could be cancelled, and never is.</summary>
        public CancellationToken Never => _never.Token;

        public void Dispose()
        {
            GC.SuppressFinalize(this);
            answer.LoseReader();
            _never.Dispose();
        }
    }
}
