using System.Globalization;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Tasks;

/// <summary>Generated recall documents of one length with the asked fact at one depth, each with follow-up questions.</summary>
public sealed class RecallEvaluationTask : IEvaluationTask
{
    // The longest place is one token of the demo model; a model that spells it gets room for that.
    private const int AnswerTokens = 8;

    private readonly RecallTask _task;
    private readonly RecallDocumentOptions _options;
    private readonly int _documents;

    /// <summary>Creates the task.</summary>
    /// <param name="task">Words and sentence forms.</param>
    /// <param name="options">
    /// The first document; those after it count the seed up and take turns between words that recur and words that do not.
    /// The question count is one more than the follow-ups.
    /// </param>
    /// <param name="documents">How many documents.</param>
    public RecallEvaluationTask(RecallTask task, RecallDocumentOptions options, int documents)
    {
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(documents, 1);
        _task = task;
        _options = options;
        _documents = documents;
        Length = options.TokenLength;
        Depth = options.Depth;
        Group = string.Create(CultureInfo.InvariantCulture, $"recall, {Length} tokens");
        Name = Depth is double depth ? string.Create(CultureInfo.InvariantCulture, $"{Group}, depth {depth:0.0#}") : Group;
    }

    /// <summary>Tokens of a prompt.</summary>
    public int Length { get; }

    /// <summary>Where the first question's fact stands; null for anywhere.</summary>
    public double? Depth { get; }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string Group { get; }

    /// <inheritdoc/>
    public string Description => string.Create(
        CultureInfo.InvariantCulture,
        $"{Name}: {_documents} documents from seed {_options.Seed}, {_options.QuestionCount} questions each, facts {_options.FactShare}");

    /// <inheritdoc/>
    public int CountItems() => _documents;

    /// <inheritdoc/>
    public IEnumerable<EvaluationItem> ReadItems(TextTokenizer tokenizer) => Enumerable.Range(0, _documents).Select(index =>
    {
        RecallDocument document = _task.CreateDocument(_options with { Seed = _options.Seed + (ulong)index, Recurring = index % 2 == 0 });
        return new EvaluationItem
        {
            Dataset = Name,
            Index = index,
            Prompt = new EvaluationPrompt("", document.Text, $" {document.Questions[0].Text}"),
            MaxNewTokens = AnswerTokens,
            StopText = RecallQuestion.AnswerEnd,
            Score = prediction => document.Questions[0].IsAnsweredBy(prediction) ? 1 : 0,
            FollowUps = [.. document.Questions.Skip(1).Select((question, next) => new FollowUpQuestion(
                document.FollowUp(next + 1),
                prediction => question.IsAnsweredBy(prediction) ? 1 : 0))],
        };
    });
}
