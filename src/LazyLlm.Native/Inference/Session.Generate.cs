using System.Runtime.CompilerServices;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Native.Inference;

public sealed partial class Session
{
    private readonly List<int> _history = [];
    private RunClock _run;
    private int _generation;
    private bool _hasLogits;

    /// <summary>Adds text that the next step or generation takes first: a follow-up turn. A new session's text opens with the model's begin token.</summary>
    /// <exception cref="InvalidOptionException">The model has no tokenizer.</exception>
    /// <exception cref="ContextLengthException">The text does not fit; nothing was added.</exception>
    public void Append(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        TextTokenizer tokenizer = _engine.RequireTokenizer();
        bool isFirst = Length == 0 && _pending.Count == 0;
        Append(isFirst ? tokenizer.Encode(text) : tokenizer.EncodeContinuation(text));
    }

    /// <summary>Appends a prompt or follow-up turn and generates what comes next.</summary>
    /// <param name="prompt">The text; it is checked and appended at once.</param>
    /// <param name="options">Sampling, length and stops; greedy by default.</param>
    /// <param name="cancellation">Ends the generation with an <see cref="OperationCanceledException"/>, within a layer.</param>
    /// <inheritdoc cref="Append(string)"/>
    public IAsyncEnumerable<GeneratedToken> GenerateAsync(string prompt, SamplingOptions? options = null, CancellationToken cancellation = default)
    {
        _engine.Require(options ??= new SamplingOptions());
        Append(prompt);
        return GenerateAsync(options, cancellation);
    }

    /// <summary>Generates what comes after the tokens appended, or after the last step.</summary>
    /// <param name="options">Sampling, length and stops; greedy by default.</param>
    /// <param name="cancellation">Ends the generation with an <see cref="OperationCanceledException"/>, within a layer.</param>
    /// <exception cref="InvalidOptionException">An option is out of range, or there is nothing to go on from.</exception>
    public IAsyncEnumerable<GeneratedToken> GenerateAsync(SamplingOptions? options = null, CancellationToken cancellation = default)
    {
        _engine.Require(options ??= new SamplingOptions());
        Enter();
        try
        {
            if (_pending.Count == 0 && !_hasLogits)
            {
                throw new InvalidOptionException("prompt", "there are no tokens to go on from; append a prompt first.");
            }

            return Generate(options, ++_generation, cancellation);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>
    /// The generation loop. The session is free between steps, so that a caller who walks away from the enumerator does not
    /// block it; what else happens to the session then ends this generation.
    /// </summary>
    private async IAsyncEnumerable<GeneratedToken> Generate(SamplingOptions options, int generation, [EnumeratorCancellation] CancellationToken cancellation)
    {
        _run = new RunClock(_sequence) { PromptTokens = _pending.Count };
        RunClock run = _run;
        var answer = new Answer(_engine, options, [.. _history, .. _pending]);
        GeneratedToken token = default;
        Action step = () => token = GenerateOne(answer, generation, cancellation);
        try
        {
            do
            {
                await Task.Run(step, cancellation).ConfigureAwait(false);
                yield return token;
            }
            while (token.Finish == FinishReason.None);
        }
        finally
        {
            if (run == _run && !_disposeRequested)
            {
                EngineMetrics.RecordRun(Statistics);
            }
        }
    }

    private GeneratedToken GenerateOne(Answer answer, int generation, CancellationToken cancellation)
    {
        Enter();
        try
        {
            if (generation != _generation)
            {
                throw new SessionStateException("The session was used for something else while this generation was under way. Finish one generation before the next, or use two sessions.");
            }

            if (_pending.Count > 0)
            {
                RunStep([], cancellation);
            }

            GeneratedToken token = answer.Next(_logits, hasRoom: Length < ContextLength);
            _pending.Add(token.Id);
            _run.CountToken();
            return token;
        }
        finally
        {
            Exit();
        }
    }
}
