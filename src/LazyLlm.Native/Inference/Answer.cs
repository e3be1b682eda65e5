using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Native.Inference;

/// <summary>
/// One answer as it comes: turns logits into tokens with their text, and says when the answer ends. Belongs to one caller.
/// </summary>
internal sealed class Answer
{
    private readonly Sampler _sampler;
    private readonly StopMatcher _stops;
    private readonly StreamingDecoder? _decoder;
    private int _tokensLeft;

    /// <summary>Begins an answer.</summary>
    /// <param name="engine">The model.</param>
    /// <param name="options">Checked options.</param>
    /// <param name="context">The tokens that the answer follows, for the repetition penalty.</param>
    public Answer(LlamaEngine engine, SamplingOptions options, ReadOnlySpan<int> context)
    {
        _sampler = new Sampler(options, engine.Config.VocabularySize);
        _sampler.Observe(context);
        _stops = StopMatcher.For(options, engine.Folder.EndTokens);
        _decoder = engine.Tokenizer?.CreateDecoder(continuation: true);
        _tokensLeft = options.MaxTokens ?? int.MaxValue;
    }

    /// <summary>Chooses the next token, with its text as a string.</summary>
    /// <inheritdoc cref="Next(ReadOnlySpan{float}, bool, out ReadOnlySpan{char})"/>
    public GeneratedToken Next(ReadOnlySpan<float> logits, bool hasRoom)
    {
        (SampledToken token, FinishReason finish) = Next(logits, hasRoom, out ReadOnlySpan<char> text);
        return new GeneratedToken(token.Id, new string(text), token.LogProbability, finish);
    }

    /// <summary>Chooses the next token. Allocates nothing, but for the last one.</summary>
    /// <param name="logits">Over the vocabulary.</param>
    /// <param name="hasRoom">Whether the context can take one more token after those it holds.</param>
    /// <param name="text">The text that is final with it; valid until the next call.</param>
    public (SampledToken Token, FinishReason Finish) Next(ReadOnlySpan<float> logits, bool hasRoom, out ReadOnlySpan<char> text)
    {
        SampledToken token = _sampler.Sample(logits);
        text = [];
        if (_stops.IsStopToken(token.Id))
        {
            text = Rest([]);
            return (token, FinishReason.Stop);
        }

        if (_decoder is not null)
        {
            text = _stops.Append(_decoder.Append(token.Id));
        }

        if (_stops.Matched is not null)
        {
            return (token, FinishReason.Stop);
        }

        _tokensLeft--;
        if (_tokensLeft > 0 && hasRoom)
        {
            return (token, FinishReason.None);
        }

        text = Rest(text);
        return (token, _tokensLeft == 0 ? FinishReason.Length : FinishReason.Context);
    }

    /// <summary>The text so far, and what was held back in case it became a stop string or a whole character.</summary>
    private ReadOnlySpan<char> Rest(ReadOnlySpan<char> text)
    {
        if (_decoder is null)
        {
            return text;
        }

        string rest = string.Concat(text, _stops.Append(_decoder.Flush()));
        return _stops.Matched is null ? string.Concat(rest, _stops.Flush()) : rest;
    }
}
