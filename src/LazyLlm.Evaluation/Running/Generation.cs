using System.Diagnostics;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Running;

/// <summary>One greedy generation: what was written, and how long it took.</summary>
/// <param name="Text">The text, the end token left out.</param>
/// <param name="Tokens">The tokens, the one that ended it included; the last is not in the session yet.</param>
/// <param name="FirstToken">Until the first token was known.</param>
/// <param name="Total">Until the last token was known.</param>
internal sealed record Generation(string Text, IReadOnlyList<int> Tokens, TimeSpan FirstToken, TimeSpan Total)
{
    /// <summary>Takes new tokens and generates until the item's limits: the likeliest token each time, the lower id among equals.</summary>
    /// <param name="session">The session.</param>
    /// <param name="tokens">The prompt, or the next turn.</param>
    /// <param name="item">The limits.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="endTokens">Tokens that end a text.</param>
    /// <param name="afterStep">Called after each step of the session.</param>
    /// <param name="cancellation">Checked between layers.</param>
    public static Generation Run(
        Session session,
        ReadOnlySpan<int> tokens,
        EvaluationItem item,
        TextTokenizer tokenizer,
        IReadOnlyCollection<int> endTokens,
        Action? afterStep,
        CancellationToken cancellation)
    {
        int[] stopTokens = item.StopAtNewline ? [.. endTokens, tokenizer.Encode("\n", addBeginToken: false)[^1]] : [.. endTokens];
        int[] notFirst = item.StopAtNewline ? stopTokens : [];
        long start = Stopwatch.GetTimestamp();
        var generated = new List<int>();
        int next = Likeliest(session.Step(tokens, cancellation), notFirst);
        TimeSpan first = Stopwatch.GetElapsedTime(start);
        afterStep?.Invoke();
        while (true)
        {
            generated.Add(next);
            bool isStopped = stopTokens.Contains(next)
                || (item.StopText is string stop && tokenizer.Decode(generated.ToArray(), continuation: true).Contains(stop, StringComparison.Ordinal));
            if (isStopped || generated.Count == item.MaxNewTokens || session.Length == session.ContextLength)
            {
                break;
            }

            next = Likeliest(session.Step([next], cancellation), []);
            afterStep?.Invoke();
        }

        TimeSpan total = Stopwatch.GetElapsedTime(start);
        return new Generation(tokenizer.Decode(generated.ToArray()), generated, first, total);
    }

    private static int Likeliest(ReadOnlySpan<float> logits, ReadOnlySpan<int> excluded)
    {
        int best = -1;
        for (int token = 0; token < logits.Length; token++)
        {
            if ((best < 0 || logits[token] > logits[best]) && !excluded.Contains(token))
            {
                best = token;
            }
        }

        return best;
    }
}
