using System.Text;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Cli.Tracing;

/// <summary>What every stage of every step saw and computed while a prompt was continued greedily.</summary>
internal sealed class PruningTrace
{
    private readonly TextTokenizer? _tokenizer;
    private readonly List<int> _tokens;
    private readonly List<PruningTraceStep> _steps = [];

    private PruningTrace(LlamaEngine engine, Session session, ReadOnlySpan<int> prompt)
    {
        Model = engine.Folder.Name;
        Schedule = session.Schedule;
        Plan = session.Plan;
        PromptLength = prompt.Length;
        _tokenizer = engine.Tokenizer;
        _tokens = [.. prompt];
    }

    /// <summary>The model folder's name.</summary>
    public string Model { get; }

    public PruningSchedule Schedule { get; }

    public StagePlan Plan { get; }

    public int PromptLength { get; }

    /// <summary>The prompt and the tokens that steps took after it; the last step's own token is not among them.</summary>
    public IReadOnlyList<int> Tokens => _tokens;

    public IReadOnlyList<PruningTraceStep> Steps => _steps;

    /// <summary>Runs a prompt and as many tokens after it as make <paramref name="steps"/> steps.</summary>
    public static PruningTrace Record(
        LlamaEngine engine,
        PruningSchedule schedule,
        ReadOnlySpan<int> prompt,
        int steps,
        IProgress<PrefillProgress>? progress,
        CancellationToken cancellation)
    {
        using Session session = engine.CreateSession(schedule);
        session.Tracing = true;
        session.PrefillProgress = progress;
        var trace = new PruningTrace(engine, session, prompt);
        var greedy = new Sampler(new SamplingOptions(), engine.Config.VocabularySize);
        int longest = prompt.Length + steps;
        bool[][] computed = [.. session.Plan.Stages.Select(_ => new bool[longest])];
        ReadOnlySpan<int> next = prompt;
        for (int i = 0; i < steps; i++)
        {
            int firstNew = session.Length;
            ReadOnlySpan<float> logits = session.Step(next, cancellation);
            int token = greedy.Sample(logits).Id;
            trace._steps.Add(PruningTraceStep.From(session.LastTrace!, firstNew, computed, token, logits));
            next = new[] { token };
            if (i + 1 < steps)
            {
                trace._tokens.Add(token);
            }
        }

        return trace;
    }

    /// <summary>Layers computed per position at the end.</summary>
    public int[] Frontier()
    {
        int[] frontier = new int[_tokens.Count];
        foreach (PruningTraceStep step in _steps)
        {
            for (int position = 0; position < step.Length; position++)
            {
                frontier[position] = Math.Max(frontier[position], Plan.Stages[step.LastStageOf(position)].EndLayer);
            }
        }

        return frontier;
    }

    /// <summary>
    /// What each token shows of the text, whole characters only: one that ends inside a character shows nothing, and the
    /// one that completes it shows it. Control tokens show their names, and tokens of a model without a tokenizer their ids.
    /// </summary>
    public string[] TokenTexts() => TextsOf(_tokenizer, _tokens);

    /// <summary>The text of the token that a step chose.</summary>
    public string TextOf(int token) => _tokenizer?.TokenText(token) ?? $" {token}";

    /// <inheritdoc cref="TokenTexts"/>
    public static string[] TextsOf(TextTokenizer? tokenizer, IReadOnlyList<int> tokens) =>
        tokenizer?.SplitText(tokens) ?? [.. tokens.Select((token, i) => i == 0 ? $"{token}" : $" {token}")];

    /// <summary>A text for one line of a terminal: no control characters, which could steer it.</summary>
    public static string Printable(string text)
    {
        var line = new StringBuilder(text.Length);
        foreach (char character in text)
        {
            line.Append(character == '\n' ? '⏎' : char.IsControl(character) ? '�' : character);
        }

        return line.ToString();
    }
}
