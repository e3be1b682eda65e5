using System.Globalization;
using System.Text;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Methods;

/// <summary>
/// Prompt compression by Selective Context: the model itself reads the document first and says how surprising each token
/// is; the phrases with the lowest mean self-information are dropped, and the prompt is put together from the rest.
/// Reading the document twice is part of its time to first token.
/// </summary>
/// <param name="keep">Share of the prompt's tokens that stay.</param>
public sealed class PromptCompressionMethod(double keep) : IEvaluationMethod
{
    private readonly double _keep = keep is > 0 and <= 1
        ? keep
        : throw new InvalidOptionException("prompt compression", $"keep is {keep}, expected above 0 and at most 1.");

    /// <inheritdoc/>
    public string Family => "Prompt Compression";

    /// <inheritdoc/>
    public string Name => string.Create(CultureInfo.InvariantCulture, $"compression {_keep:0.###}");

    /// <inheritdoc/>
    public int RunCount => 1;

    /// <inheritdoc/>
    public PruningSchedule Schedule => PruningSchedule.None;

    /// <inheritdoc/>
    public double PrefillShare(int layerCount) => _keep;

    /// <inheritdoc/>
    public PreparedPrompt Prepare(EvaluationPrompt prompt, LlamaEngine engine, TextTokenizer tokenizer, ulong seed, CancellationToken cancellation)
    {
        PromptTokens tokens = PromptTokens.Of(prompt, tokenizer);
        ReadOnlySpan<int> document = tokens.Ids.AsSpan(tokens.DocumentStart, tokens.DocumentEnd - tokens.DocumentStart);
        float[] logProbabilities;
        long pairs;
        using (Session session = engine.CreateSession())
        {
            logProbabilities = session.ScoreTokens(tokens.Ids.AsSpan(0, tokens.DocumentEnd), cancellation);
            pairs = session.Statistics.ComputedPairs;
        }

        List<Range> phrases = PhraseCutter.Cut(document, tokenizer);
        int toDrop = tokens.Ids.Length - (int)Math.Ceiling((_keep * tokens.Ids.Length) - 1e-9);
        bool[] isDropped = new bool[phrases.Count];
        foreach (int phrase in Enumerable.Range(0, phrases.Count).OrderBy(MeanSelfInformation))
        {
            if (toDrop <= 0)
            {
                break;
            }

            isDropped[phrase] = true;
            toDrop -= phrases[phrase].GetOffsetAndLength(document.Length).Length;
        }

        var kept = new StringBuilder();
        for (int phrase = 0; phrase < phrases.Count; phrase++)
        {
            if (!isDropped[phrase])
            {
                kept.Append(tokenizer.Decode(document[phrases[phrase]], continuation: tokens.DocumentStart > 1 || phrase > 0));
            }
        }

        return new PreparedPrompt(tokenizer.Encode((prompt with { Document = kept.ToString() }).Text), pairs);

        double MeanSelfInformation(int phrase)
        {
            (int offset, int length) = phrases[phrase].GetOffsetAndLength(tokens.DocumentEnd - tokens.DocumentStart);
            double sum = 0;
            for (int token = offset; token < offset + length; token++)
            {
                sum -= logProbabilities[tokens.DocumentStart + token];
            }

            return sum / length;
        }
    }
}
