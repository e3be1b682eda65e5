using System.Diagnostics;
using System.Text;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Running;

/// <summary>Runs one item under one method: prepares the prompt, generates, scores, and asks the follow-up questions.</summary>
/// <param name="engine">The model.</param>
/// <param name="tokenizer">The model's tokenizer.</param>
/// <param name="seed">Seed of the whole evaluation; each item and run derives its own.</param>
public sealed class ItemRunner(LlamaEngine engine, TextTokenizer tokenizer, ulong seed = 0)
{
    private readonly int[] _endTokens = [.. engine.Folder.EndTokens.Union(tokenizer.EndTokens)];

    /// <summary>The model.</summary>
    public LlamaEngine Engine => engine;

    /// <summary>The model's tokenizer.</summary>
    public TextTokenizer Tokenizer => tokenizer;

    /// <summary>Seed of the whole evaluation.</summary>
    public ulong Seed => seed;

    /// <summary>Runs an item.</summary>
    /// <param name="item">The item.</param>
    /// <param name="group">The group of its dataset.</param>
    /// <param name="method">The method.</param>
    /// <param name="run">Which of the method's runs.</param>
    /// <param name="afterStep">Told the session's figures after each step of the first answer; null for none.</param>
    /// <param name="cancellation">Checked between layers.</param>
    public EvaluationResult Run(EvaluationItem item, string group, IEvaluationMethod method, int run, Action<RunStatistics>? afterStep, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(item);
        ArgumentNullException.ThrowIfNull(method);
        int layerCount = engine.Config.LayerCount;
        double whole = (double)tokenizer.Encode(item.Prompt.Text).Length * layerCount;
        long start = Stopwatch.GetTimestamp();
        PreparedPrompt prepared = method.Prepare(item.Prompt, engine, tokenizer, SeedOf(item, run), cancellation);
        double preparing = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        using Session session = engine.CreateSession(method.Schedule);
        long prefillPairs = 0;
        Generation generation = Generation.Run(session, prepared.Tokens, item, tokenizer, _endTokens, AfterStep, cancellation);

        // Every generated token goes through all layers in its own step; the rest of the pairs are the prompt's.
        long laterPairs = (long)(generation.Tokens.Count - 1) * layerCount;
        string prediction = item.Clean(generation.Text);
        var result = new EvaluationResult
        {
            Group = group,
            Dataset = item.Dataset,
            Index = item.Index,
            Id = item.Id,
            Method = method.Name,
            Run = run,
            Prediction = prediction,
            Score = item.Score(prediction),
            PromptTokens = (int)(whole / layerCount),
            GeneratedTokens = generation.Tokens.Count,
            PromptShare = (session.Statistics.ComputedPairs - laterPairs) / whole,
            PrefillShare = (prefillPairs + prepared.ExtraPairs) / whole,
            FirstTokenMilliseconds = preparing + generation.FirstToken.TotalMilliseconds,
            TotalMilliseconds = preparing + generation.Total.TotalMilliseconds,
        };
        return item.FollowUps.Count == 0 ? result : result with { FollowUps = AskFollowUps(session, item, generation, prepared, whole, cancellation) };

        void AfterStep()
        {
            if (prefillPairs == 0)
            {
                prefillPairs = session.Statistics.ComputedPairs;
            }

            afterStep?.Invoke(session.Statistics);
        }
    }

    private List<FollowUpResult> AskFollowUps(Session session, EvaluationItem item, Generation answer, PreparedPrompt prepared, double wholePairs, CancellationToken cancellation)
    {
        var results = new List<FollowUpResult>();
        foreach (FollowUpQuestion question in item.FollowUps)
        {
            // The last token of an answer was generated but not read: it goes in with the question.
            int[] turn = [answer.Tokens[^1], .. tokenizer.EncodeContinuation(question.Text)];
            answer = Generation.Run(session, turn, item, tokenizer, _endTokens, afterStep: null, cancellation);
            string prediction = item.Clean(answer.Text);
            double densePairs = wholePairs + ((double)(session.Length - prepared.Tokens.Length) * engine.Config.LayerCount);
            results.Add(new FollowUpResult(
                prediction,
                question.Score(prediction),
                (session.Statistics.ComputedPairs + prepared.ExtraPairs) / densePairs,
                answer.FirstToken.TotalMilliseconds));
        }

        return results;
    }

    /// <summary>A seed of the item's place and run alone, so that leaving out other items or methods changes nothing.</summary>
    private ulong SeedOf(EvaluationItem item, int run)
    {
        ulong state = seed;
        foreach (byte value in Encoding.UTF8.GetBytes(item.Dataset))
        {
            state = new SplitMix64(state ^ value).Next();
        }

        return new SplitMix64(new SplitMix64(state ^ (ulong)item.Index).Next() ^ (ulong)run).Next();
    }
}
