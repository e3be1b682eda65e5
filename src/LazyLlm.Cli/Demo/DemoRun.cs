using LazyLlm.Cli.Tracing;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Cli.Demo;

/// <summary>A document read under one schedule, and its questions asked one after the other in the same session.</summary>
internal sealed class DemoRun
{
    private const int MostQuestions = 2;
    private const int LongestAnswer = 16;

    private DemoRun(PruningSchedule schedule, StagePlan plan, IReadOnlyList<DemoTurn> turns, IReadOnlyList<int> tokens)
    {
        Schedule = schedule;
        Plan = plan;
        Turns = turns;
        Tokens = tokens;
    }

    public PruningSchedule Schedule { get; }

    public StagePlan Plan { get; }

    /// <summary>The question, and the follow-up where the document has two facts to ask about.</summary>
    public IReadOnlyList<DemoTurn> Turns { get; }

    /// <summary>The session's tokens: document, question, answer, follow-up, its answer.</summary>
    public IReadOnlyList<int> Tokens { get; }

    /// <summary>The questions that a run asks.</summary>
    public static IEnumerable<RecallQuestion> QuestionsOf(RecallDocument document) => document.Questions.Take(MostQuestions);

    /// <summary>Reads the document and asks.</summary>
    public static async Task<DemoRun> RunAsync(
        LlamaEngine engine,
        PruningSchedule schedule,
        RecallDocument document,
        bool isTraced,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellation)
    {
        using Session session = engine.CreateSession(schedule);
        session.Tracing = isTraced;
        session.PrefillProgress = progress;
        bool[][] computed = isTraced ? [.. session.Plan.Stages.Select(_ => new bool[engine.ContextLength])] : [];
        var sampling = new SamplingOptions { MaxTokens = LongestAnswer, StopStrings = [RecallQuestion.AnswerEnd] };
        var tokens = new List<int>();
        var turns = new List<DemoTurn>();
        foreach (RecallQuestion question in QuestionsOf(document))
        {
            int[] prompt = turns.Count == 0
                ? engine.Tokenizer!.Encode(document.Prompt())
                : engine.Tokenizer!.EncodeContinuation(document.FollowUp(turns.Count));
            session.Append(prompt);
            tokens.AddRange(prompt);
            Native.Diagnostics.RunStatistics? prefill = null;
            PruningTraceStep? trace = null;
            string answer = "";
            int length = session.Length;
            await foreach (GeneratedToken token in session.GenerateAsync(sampling, cancellation).ConfigureAwait(false))
            {
                if (isTraced)
                {
                    // Every step is noted, so that a revived position is told from a computed one.
                    var step = PruningTraceStep.From(session.LastTrace!, length, computed, token.Id, []);
                    trace ??= step;
                    length = session.Length;
                }

                prefill ??= session.Statistics;
                answer += token.Text;
                tokens.Add(token.Id);
            }

            turns.Add(new DemoTurn(answer.Trim(), question.IsAnsweredBy(answer), prefill!, trace));
        }

        return new DemoRun(schedule, session.Plan, turns, tokens);
    }
}
