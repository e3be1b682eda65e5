using System.Globalization;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Methods;

/// <summary>
/// Random token drop: tokens of the document fall out before the model reads it, until the prompt has
/// <paramref name="keep"/> of its tokens. Instructions and question stay whole, which favours this baseline.
/// </summary>
/// <param name="keep">Share of the prompt's tokens that stay.</param>
/// <param name="runCount">Seeds to take the mean over; the paper's number is 5.</param>
public sealed class RandomDropMethod(double keep, int runCount = 5) : IEvaluationMethod
{
    private readonly double _keep = keep is > 0 and <= 1
        ? keep
        : throw new InvalidOptionException("random token drop", $"keep is {keep}, expected above 0 and at most 1.");

    /// <inheritdoc/>
    public string Family => "Random Token Drop";

    /// <inheritdoc/>
    public string Name => string.Create(CultureInfo.InvariantCulture, $"random {_keep:0.###}");

    /// <inheritdoc/>
    public int RunCount => runCount;

    /// <inheritdoc/>
    public PruningSchedule Schedule => PruningSchedule.None;

    /// <inheritdoc/>
    public double PrefillShare(int layerCount) => _keep;

    /// <inheritdoc/>
    public PreparedPrompt Prepare(EvaluationPrompt prompt, LlamaEngine engine, TextTokenizer tokenizer, ulong seed, CancellationToken cancellation)
    {
        PromptTokens tokens = PromptTokens.Of(prompt, tokenizer);
        int[] places = [.. Enumerable.Range(tokens.DocumentStart, tokens.DocumentEnd - tokens.DocumentStart)];
        int drop = Math.Min(places.Length, tokens.Ids.Length - (int)Math.Ceiling((_keep * tokens.Ids.Length) - 1e-9));
        new SplitMix64(seed).Shuffle(places.AsSpan());
        HashSet<int> dropped = [.. places.Take(drop)];
        return new PreparedPrompt([.. tokens.Ids.Where((_, place) => !dropped.Contains(place))]);
    }
}
