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

    /// <summary>Chooses the next token.</summary>
    /// <param name="logits">Over the vocabulary.</param>
    /// <param name="hasRoom">Whether the context can take one more token after those it holds.</param>
    public GeneratedToken Next(ReadOnlySpan<float> logits, bool hasRoom)
    {
        SampledToken token = _sampler.Sample(logits);
        if (_stops.IsStopToken(token.Id))
        {
            return new GeneratedToken(token.Id, Rest(""), token.LogProbability, FinishReason.Stop);
        }

        string text = _decoder is null ? "" : new string(_stops.Append(_decoder.Append(token.Id)));
        if (_stops.Matched is not null)
        {
            return new GeneratedToken(token.Id, text, token.LogProbability, FinishReason.Stop);
        }

        _tokensLeft--;
        FinishReason finish = _tokensLeft == 0 ? FinishReason.Length : hasRoom ? FinishReason.None : FinishReason.Context;
        return new GeneratedToken(token.Id, finish == FinishReason.None ? text : Rest(text), token.LogProbability, finish);
    }

    /// <summary>The text so far, and what was held back in case it became a stop string or a whole character.</summary>
    private string Rest(string text)
    {
        if (_decoder is null)
        {
            return text;
        }

        text = string.Concat(text, _stops.Append(_decoder.Flush()));
        return _stops.Matched is null ? string.Concat(text, _stops.Flush()) : text;
    }
}
