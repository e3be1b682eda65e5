using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Native.CApi;

/// <summary>
/// A session as C callers see it: a loop that the host drives token by token. Whoever uses it enters and exits it;
/// a second caller is refused.
/// </summary>
internal sealed class CallerSession(LlamaEngine engine, Session session) : IDisposable
{
    private const int Idle = 0;
    private const int Busy = 1;
    private const int Closed = 2;

    private readonly List<int> _tokens = [];
    private float[] _logits = [];
    private SamplingOptions _sampling = new();
    private Answer? _answer;
    private FinishReason _finish;
    private SampledToken _token;
    private byte[] _text = new byte[64];
    private int _textLength;
    private bool _isUndelivered;
    private int _state;
    private long _start;
    private long _firstToken;
    private long _lastToken;
    private long _generatedTokens;

    /// <summary>Logits of the last step; empty before it.</summary>
    public ReadOnlySpan<float> Logits => _logits;

    /// <summary>Numbers per embedding row.</summary>
    public int HiddenSize => engine.Config.HiddenSize;

    /// <summary>Numbers per row of logits.</summary>
    public int VocabularySize => engine.Config.VocabularySize;

    /// <summary>Makes the session the caller's until <see cref="Exit"/>.</summary>
    public void Enter() => Enter(Busy);

    /// <summary>Makes the session the caller's for good, to dispose it: nobody can enter it again.</summary>
    public void EnterLast() => Enter(Closed);

    public void Exit() => Volatile.Write(ref _state, Idle);

    /// <summary>Frees the caches.</summary>
    public void Dispose() => session.Dispose();

    public CallerSession Fork()
    {
        var copy = new CallerSession(engine, session.Fork()) { _logits = [.. _logits], _sampling = _sampling };
        copy._tokens.AddRange(_tokens);
        return copy;
    }

    public void Reset()
    {
        session.Reset();
        _tokens.Clear();
        _logits = [];
        EndGeneration();
        _start = 0;
    }

    public void Append(string text)
    {
        TextTokenizer tokenizer = engine.RequireTokenizer();
        Append(session.Length == 0 && session.PendingTokens == 0 ? tokenizer.Encode(text) : tokenizer.EncodeContinuation(text));
    }

    public void Append(ReadOnlySpan<int> tokens)
    {
        session.Append(tokens);
        _tokens.AddRange(tokens);
        EndGeneration();
    }

    public void Begin(SamplingOptions sampling)
    {
        engine.Require(sampling);
        _sampling = sampling;
        EndGeneration();
    }

    /// <summary>Takes what is pending to logits.</summary>
    public void Prefill(ProgressCallback? progress)
    {
        if (session.PendingTokens == 0)
        {
            CallException.Throw(ResultCode.State, "Nothing is pending; append a prompt first.");
        }

        Compute(progress, []);
    }

    /// <summary>Takes embeddings in place of tokens.</summary>
    public void Prefill(ReadOnlySpan<float> embeddings, ProgressCallback? progress)
    {
        if (session.PendingTokens > 0)
        {
            CallException.Throw(ResultCode.InvalidArgument, $"embeddings: {session.PendingTokens} tokens are pending before them; prefill those first.");
        }

        long start = Stopwatch.GetTimestamp();
        Compute(progress, embeddings);
        EndGeneration();
        _start = _start == 0 ? start : _start;
    }

    /// <summary>Chooses the next token; it comes again until <see cref="Deliver"/> is called. Allocates nothing per token.</summary>
    /// <param name="progress">Told of the layers of the step, if there is one.</param>
    /// <param name="finish">Whether the generation ends with the token.</param>
    /// <param name="text">The token's text in UTF-8; valid until the next call.</param>
    public SampledToken Next(ProgressCallback? progress, out FinishReason finish, out ReadOnlySpan<byte> text)
    {
        if (!_isUndelivered)
        {
            Generate(progress);
        }

        finish = _finish;
        text = _text.AsSpan(0, _textLength);
        return _token;
    }

    /// <summary>Notes that the caller has the token.</summary>
    public void Deliver() => _isUndelivered = false;

    public StatisticsLayout ReadStatistics()
    {
        RunStatistics statistics = session.Statistics;
        long revived = 0;
        foreach (StageStatistics stage in statistics.Stages)
        {
            revived += stage.Revived;
        }

        return new StatisticsLayout
        {
            TimeToFirstToken = _generatedTokens > 0 ? Stopwatch.GetElapsedTime(_start, _firstToken).TotalSeconds : 0,
            TimePerOutputToken = _generatedTokens > 1 ? Stopwatch.GetElapsedTime(_firstToken, _lastToken).TotalSeconds / (_generatedTokens - 1) : 0,
            GeneratedTokens = _generatedTokens,
            ContextTokens = statistics.ContextTokens,
            PendingTokens = session.PendingTokens,
            ComputedPairs = statistics.ComputedPairs,
            DensePairs = statistics.DensePairs,
            RevivedTokens = revived,
            KeyValueBytes = statistics.KeyValueBytes,
            AuxBytes = statistics.AuxBytes,
        };
    }

    private void Enter(int state)
    {
        ProgressCallback.RefuseReentry();
        switch (Interlocked.CompareExchange(ref _state, state, Idle))
        {
            case Busy:
                CallException.Throw(ResultCode.Busy, "Another caller is using this session. A session belongs to one caller at a time.");
                break;
            case Closed:
                CallException.Throw(ResultCode.InvalidHandle, "The session was closed.");
                break;
        }
    }

    private void Generate(ProgressCallback? progress)
    {
        if (_finish != FinishReason.None)
        {
            CallException.Throw(ResultCode.State, $"The generation has ended ({_finish}). Append a turn, or begin another generation.");
        }

        if (session.PendingTokens > 0)
        {
            Compute(progress, []);
        }
        else if (_logits.Length == 0)
        {
            CallException.Throw(ResultCode.State, "There is nothing to go on from; append a prompt first.");
        }

        bool hasRoom = session.Length < session.ContextLength;
        _answer ??= new Answer(engine, _sampling, CollectionsMarshal.AsSpan(_tokens));
        (_token, _finish) = _answer.Next(_logits, hasRoom, out ReadOnlySpan<char> text);
        if (hasRoom)
        {
            session.Append([_token.Id]);
            _tokens.Add(_token.Id);
        }

        if (_text.Length < Encoding.UTF8.GetMaxByteCount(text.Length))
        {
            _text = new byte[2 * Encoding.UTF8.GetMaxByteCount(text.Length)];
        }

        _textLength = Encoding.UTF8.GetBytes(text, _text);
        _isUndelivered = true;
        _lastToken = Stopwatch.GetTimestamp();
        if (_generatedTokens++ == 0)
        {
            _firstToken = _lastToken;
            _start = _start == 0 ? _lastToken : _start;
        }
    }

    private void Compute(ProgressCallback? progress, ReadOnlySpan<float> embeddings)
    {
        if (_generatedTokens == 0 && _start == 0)
        {
            _start = Stopwatch.GetTimestamp();
        }

        session.PrefillProgress = progress;
        try
        {
            CancellationToken cancellation = progress?.Cancellation ?? default;
            ReadOnlySpan<float> logits = embeddings.IsEmpty ? session.Step([], cancellation) : session.StepEmbeddings(embeddings, cancellation);
            if (_logits.Length != logits.Length)
            {
                _logits = new float[logits.Length];
            }

            logits.CopyTo(_logits);
        }
        finally
        {
            session.PrefillProgress = null;
        }
    }

    private void EndGeneration()
    {
        _answer = null;
        _finish = FinishReason.None;
        _isUndelivered = false;
        if (_generatedTokens > 0)
        {
            // Without a token, what was computed so far is on the way to the next first one.
            _start = 0;
            _generatedTokens = 0;
        }
    }
}
