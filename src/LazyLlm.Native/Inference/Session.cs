using System.Collections.Immutable;
using System.Runtime.InteropServices;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Inference;

/// <summary>
/// One sequence on an engine under one pruning schedule: takes tokens, gives logits or text, and keeps K/V and Aux
/// caches for the turns that follow. Belongs to one caller at a time; a second one gets a
/// <see cref="SessionStateException"/>. A step that fails or is cancelled leaves the session as it was before.
/// </summary>
public sealed partial class Session : IDisposable
{
    private const int Idle = 0;
    private const int Busy = 1;
    private const int Disposed = 2;

    private readonly LlamaEngine _engine;
    private readonly Sequence _sequence;
    private readonly List<int> _pending = [];
    private readonly List<StageTrace> _stageTraces = [];
    private float[] _logits = [];
    private int _state;
    private volatile bool _disposeRequested;
    private long _recordedKeyValueBytes;
    private long _recordedAuxBytes;

    internal Session(LlamaEngine engine, Sequence sequence, PruningSchedule schedule)
    {
        _engine = engine;
        _sequence = sequence;
        Schedule = schedule;
        _run = new RunClock(sequence);
    }

    /// <summary>The schedule.</summary>
    public PruningSchedule Schedule { get; }

    /// <summary>The schedule cut to the model.</summary>
    public StagePlan Plan => _sequence.Plan;

    /// <summary>Positions computed so far (pending tokens not counted).</summary>
    public int Length => _sequence.Length;

    /// <summary>Tokens appended, or generated last, that the next step will take.</summary>
    public int PendingTokens => _pending.Count;

    /// <summary>Longest sequence, in tokens.</summary>
    public int ContextLength => _sequence.Capacity;

    /// <summary>Told after every layer of a step. Runs on the thread that computes.</summary>
    public IProgress<PrefillProgress>? PrefillProgress { get; set; }

    /// <summary>Whether steps record what their stages saw; reading the sets back takes time on a GPU.</summary>
    public bool Tracing { get; set; }

    /// <summary>What the last step saw and computed; null without <see cref="Tracing"/>.</summary>
    public StepTrace? LastTrace { get; private set; }

    /// <summary>Bytes taken from the device by this session's caches, growth reserve included.</summary>
    public long AllocatedBytes => _sequence.Memory.AllocatedBytes;

    /// <summary>The figures of the current or last run.</summary>
    public RunStatistics Statistics => _run.Read(_sequence, _engine.Config.LayerCount);

    /// <summary>Adds tokens that the next step or generation takes first: a follow-up turn.</summary>
    /// <exception cref="InvalidOptionException">A token is not in the model's vocabulary.</exception>
    /// <exception cref="ContextLengthException">The tokens do not fit; nothing was added.</exception>
    public void Append(ReadOnlySpan<int> tokens)
    {
        _engine.Require(tokens);
        Enter();
        try
        {
            CheckRoom(tokens.Length);
            _pending.AddRange(tokens);
            _generation++;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Takes pending tokens and <paramref name="tokens"/> to logits: one step, for hosts with a loop of their own.</summary>
    /// <param name="tokens">New tokens; may be empty if some are pending.</param>
    /// <param name="cancellation">Checked between layers. A cancelled step leaves the session as it was.</param>
    /// <returns>Logits over the vocabulary for what follows the last token; valid until the next step.</returns>
    /// <exception cref="InvalidOptionException">There are no tokens, or one is not in the vocabulary.</exception>
    /// <exception cref="ContextLengthException">The tokens do not fit.</exception>
    /// <exception cref="SessionStateException">Another caller is using the session.</exception>
    public ReadOnlySpan<float> Step(ReadOnlySpan<int> tokens, CancellationToken cancellation = default)
    {
        _engine.Require(tokens);
        Enter();
        try
        {
            _generation++;
            return RunStep(tokens, cancellation);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Takes prompt embeddings in place of tokens: rows of the model's hidden size, one per position.</summary>
    /// <inheritdoc cref="Step"/>
    public ReadOnlySpan<float> StepEmbeddings(ReadOnlySpan<float> embeddings, CancellationToken cancellation = default)
    {
        int hiddenSize = _engine.Config.HiddenSize;
        if (embeddings.IsEmpty || embeddings.Length % hiddenSize != 0)
        {
            throw new InvalidOptionException("embeddings", $"found {embeddings.Length} numbers, expected a positive multiple of the hidden size {hiddenSize}.");
        }

        for (int i = 0; i < embeddings.Length; i++)
        {
            if (!float.IsFinite(embeddings[i]))
            {
                throw new InvalidOptionException("embeddings", $"number {i % hiddenSize} of row {i / hiddenSize} is {embeddings[i]}, expected finite numbers.");
            }
        }

        Enter();
        try
        {
            if (_pending.Count > 0)
            {
                throw new InvalidOptionException("embeddings", $"{_pending.Count} tokens are pending before them; take those with Step first.");
            }

            _generation++;
            ForwardPass pass = _engine.RentPass();
            try
            {
                pass.Begin();
                pass.AddEmbeddings(_sequence, embeddings);
                return Finish(pass, embeddings.Length / hiddenSize, cancellation);
            }
            finally
            {
                _engine.ReturnPass(pass);
            }
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>A session that goes on from here independently, its caches copied: for prompts that share a beginning.</summary>
    public Session Fork()
    {
        Enter();
        try
        {
            var copy = new Session(_engine, _engine.ForkSequence(_sequence), Schedule);
            copy._pending.AddRange(_pending);
            copy._history.AddRange(_history);
            copy._logits = [.. _logits];
            copy._hasLogits = _hasLogits;
            return copy;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Forgets everything: the session is as new.</summary>
    public void Reset()
    {
        Enter();
        try
        {
            _generation++;
            _pending.Clear();
            _history.Clear();
            _hasLogits = false;
            _sequence.Reset();
            _run = new RunClock(_sequence);
            LastTrace = null;
            RecordCaches();
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Frees the caches, after the step that may be running. May be called twice, and in any order with the engine's.</summary>
    public void Dispose()
    {
        _disposeRequested = true;
        DisposeIfIdle();
    }

    private ReadOnlySpan<float> RunStep(ReadOnlySpan<int> tokens, CancellationToken cancellation)
    {
        if (!tokens.IsEmpty && _pending.Count > 0)
        {
            tokens = (int[])[.. _pending, .. tokens];
        }

        ReadOnlySpan<int> step = tokens.IsEmpty ? CollectionsMarshal.AsSpan(_pending) : tokens;
        if (step.IsEmpty)
        {
            throw new InvalidOptionException("tokens", "a step needs at least one token; append a prompt first.");
        }

        cancellation.ThrowIfCancellationRequested();
        ForwardPass pass = _engine.RentPass();
        try
        {
            pass.Begin();
            pass.Add(_sequence, step);
            ReadOnlySpan<float> logits = Finish(pass, step.Length, cancellation);
            _history.AddRange(step);
            _pending.Clear();
            return logits;
        }
        finally
        {
            _engine.ReturnPass(pass);
        }
    }

    private ReadOnlySpan<float> Finish(ForwardPass pass, int newTokens, CancellationToken cancellation)
    {
        _stageTraces.Clear();
        pass.StageEntered = Tracing ? RecordStage : null;
        try
        {
            while (pass.Advance())
            {
                PrefillProgress?.Report(new PrefillProgress(newTokens, pass.Layer, Plan.LayerCount));
                cancellation.ThrowIfCancellationRequested();
            }

            ReadOnlySpan<float> logits = pass.Logits();
            if (_logits.Length != logits.Length)
            {
                _logits = new float[logits.Length];
            }

            logits.CopyTo(_logits);
            _hasLogits = true;
        }
        catch
        {
            pass.Rollback();
            throw;
        }

        PrefillProgress?.Report(new PrefillProgress(newTokens, Plan.LayerCount, Plan.LayerCount));
        LastTrace = Tracing ? new StepTrace(Length, [.. _stageTraces]) : null;
        RecordCaches();
        return _logits;
    }

    private void RecordStage(Sequence sequence, Stage stage) => _stageTraces.Add(StageTrace.Of(sequence, stage));

    private void RecordCaches()
    {
        (long keyValueBytes, long auxBytes) = (_sequence.Memory.KeyValueBytes, _sequence.Memory.AuxBytes);
        EngineMetrics.RecordCaches(keyValueBytes - _recordedKeyValueBytes, auxBytes - _recordedAuxBytes);
        (_recordedKeyValueBytes, _recordedAuxBytes) = (keyValueBytes, auxBytes);
    }

    private void CheckRoom(int count)
    {
        long needed = (long)Length + _pending.Count + count;
        if (needed > ContextLength)
        {
            throw new ContextLengthException(needed, ContextLength);
        }
    }

    private void Enter()
    {
        ObjectDisposedException.ThrowIf(_disposeRequested, this);
        int state = Interlocked.CompareExchange(ref _state, Busy, Idle);
        ObjectDisposedException.ThrowIf(state == Disposed, this);
        if (state == Busy)
        {
            throw new SessionStateException("Another caller is using this session. A session belongs to one caller at a time: create one session for each.");
        }
    }

    private void Exit()
    {
        Volatile.Write(ref _state, Idle);
        if (_disposeRequested)
        {
            DisposeIfIdle();
        }
    }

    private void DisposeIfIdle()
    {
        if (Interlocked.CompareExchange(ref _state, Disposed, Idle) == Idle)
        {
            EngineMetrics.RecordCaches(-_recordedKeyValueBytes, -_recordedAuxBytes);
            _sequence.Dispose();
            _engine.Release();
        }
    }
}
