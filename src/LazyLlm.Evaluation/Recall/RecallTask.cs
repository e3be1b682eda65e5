using System.Text.RegularExpressions;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Recall;

/// <summary>
/// A synthetic long-document task: documents of short sentences, some of them facts ("Mira keeps the lamp in the
/// attic.") among fillers, and questions about the facts. The words and forms come from the <c>recall-task.json</c>
/// beside a model that was trained on them. A prompt is the document, a space, the question and its <c>Answer:</c>.
/// </summary>
public sealed class RecallTask
{
    /// <summary>The file's name in a model folder.</summary>
    public const string FileName = "recall-task.json";

    /// <summary>Cells of the name and object table per fact that is drawn from it: some pairs must stay unused, and most words recur.</summary>
    private const double PairsPerFact = 1.6;

    private readonly RecallVocabulary _vocabulary;
    private readonly Func<string, int> _countTokens;

    private RecallTask(RecallVocabulary vocabulary, Func<string, int> countTokens)
    {
        _vocabulary = vocabulary;
        _countTokens = countTokens;
    }

    /// <summary>The pruning schedule that suits the model of the task, in its text form, if the file names one.</summary>
    public string? RecommendedSchedule => _vocabulary.RecommendedSchedule;

    /// <summary>Reads a task.</summary>
    /// <param name="path">A <c>recall-task.json</c>, or the model folder that holds one.</param>
    /// <param name="countTokens">
    /// Tokens of a sentence that follows another one. Null counts words and punctuation marks, which is exact for
    /// the demo model, where each is one token.
    /// </param>
    /// <exception cref="ModelFormatException">The file is missing or is not a recall task.</exception>
    public static RecallTask Load(string path, Func<string, int>? countTokens = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? Path.Combine(path, FileName) : path;
        return new RecallTask(RecallVocabulary.Load(file), countTokens ?? CountWordsAndMarks);
    }

    /// <summary>Generates a document with its questions.</summary>
    /// <exception cref="InvalidOptionException">The options contradict each other or leave no room for the facts.</exception>
    public RecallDocument CreateDocument(RecallDocumentOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        Validate(options);
        var random = new SplitMix64(options.Seed);

        int budget = options.TokenLength - 1 - LongestQuestion();
        List<Fact> facts = DrawFacts(options, random, budget);
        List<string> sentences = [.. facts.Select(fact => fact.Sentence)];
        int used = sentences.Sum(_countTokens);
        while (true)
        {
            string filler = _vocabulary.FillAtRandom(random.Pick(_vocabulary.Fillers), random);
            used += _countTokens(filler);
            if (used > budget)
            {
                break;
            }

            sentences.Add(filler);
        }

        string[] order = [.. sentences];
        random.Shuffle(order.AsSpan());
        List<Fact> asked = ChooseAsked(facts, options.QuestionCount, random);
        if (options.Depth is double depth)
        {
            int wanted = (int)Math.Round(depth * (order.Length - 1));
            int now = Array.IndexOf(order, asked[0].Sentence);
            (order[wanted], order[now]) = (order[now], order[wanted]);
        }

        string text = string.Join(' ', order);
        return new RecallDocument(text, [.. asked.Select(fact => Ask(fact, text.IndexOf(fact.Sentence, StringComparison.Ordinal), text.Length))]);
    }

    /// <summary>
    /// Makes questions about the facts of the user's own document: every sentence of the task's fact form. A name
    /// and object that are told to be in two places are not asked about.
    /// </summary>
    /// <param name="text">The document; its line breaks become spaces, as the prompt form has no others.</param>
    /// <param name="seed">Seed of the order of the questions.</param>
    /// <returns>The document with a question for each different answer.</returns>
    /// <exception cref="InvalidOptionException">No sentence of the document is a fact.</exception>
    public RecallDocument ReadDocument(string text, ulong seed = 0)
    {
        ArgumentNullException.ThrowIfNull(text);
        string joined = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        string pattern = Regex.Escape(_vocabulary.Fact).Replace("\\ ", " ", StringComparison.Ordinal);
        foreach (string slot in (string[])["name", "object", "place"])
        {
            pattern = pattern.Replace($"\\{{{slot}}}", $@"(?<{slot}>\p{{L}}[\p{{L}}\p{{N}}'-]*)", StringComparison.Ordinal);
        }

        Match[] clear = [.. Regex.Matches(joined, pattern, RegexOptions.CultureInvariant).Cast<Match>()
            .GroupBy(match => (match.Groups["name"].Value, match.Groups["object"].Value))
            .Where(told => told.DistinctBy(match => match.Groups["place"].Value).Count() == 1)
            .Select(told => told.First())];
        if (clear.Length == 0)
        {
            throw new InvalidOptionException("document", $"none of its sentences has the form '{_vocabulary.Fact}', so there is nothing to ask about. Add such facts, or ask a question of your own.");
        }

        new SplitMix64(seed).Shuffle(clear.AsSpan());
        return new RecallDocument(joined, [.. clear
            .DistinctBy(match => match.Groups["place"].Value)
            .Select(match => Ask(
                new Fact(match.Value, match.Groups["name"].Value, match.Groups["object"].Value, match.Groups["place"].Value),
                match.Index,
                joined.Length))]);
    }

    /// <summary>Words, and punctuation marks on their own.</summary>
    internal static int CountWordsAndMarks(string sentence)
    {
        int count = 0;
        bool insideWord = false;
        foreach (char character in sentence)
        {
            bool letter = char.IsLetterOrDigit(character);
            count += char.IsWhiteSpace(character) || (letter && insideWord) ? 0 : 1;
            insideWord = letter;
        }

        return count;
    }

    private static void Validate(RecallDocumentOptions options)
    {
        if (options.QuestionCount < 1)
        {
            throw new InvalidOptionException(nameof(options.QuestionCount), $"{options.QuestionCount} questions were asked for; at least one is needed.");
        }

        if (options.Depth is double depth && !(depth >= 0 && depth <= 1))
        {
            throw new InvalidOptionException(nameof(options.Depth), $"{depth} is not between 0 (first sentence) and 1 (last sentence).");
        }

        if (!(options.FactShare > 0 && options.FactShare <= 1))
        {
            throw new InvalidOptionException(nameof(options.FactShare), $"{options.FactShare} is not above 0 and at most 1.");
        }
    }

    /// <summary>Draws the facts: as many as their share of the sentences, and enough for the questions.</summary>
    private List<Fact> DrawFacts(RecallDocumentOptions options, SplitMix64 random, int budget)
    {
        int factTokens = LongestFact();
        double fillerTokens = _vocabulary.Fillers.Average(_countTokens);
        double meanTokens = (options.FactShare * factTokens) + ((1 - options.FactShare) * fillerTokens);
        int most = options.Recurring
            ? (int)(_vocabulary.Names.Count * _vocabulary.Objects.Count / PairsPerFact)
            : Math.Min(_vocabulary.Names.Count, _vocabulary.Objects.Count);
        int least = Math.Max(options.QuestionCount, 2);
        int count = Math.Clamp((int)(options.FactShare * budget / meanTokens), Math.Min(least, most), most);
        if (options.QuestionCount > Math.Min(most, _vocabulary.Places.Count))
        {
            throw new InvalidOptionException(nameof(options.QuestionCount), $"{options.QuestionCount} questions need as many facts with different answers; the task's words give at most {Math.Min(most, _vocabulary.Places.Count)}.");
        }

        if (count * factTokens > budget)
        {
            throw new InvalidOptionException(nameof(options.TokenLength), $"{options.TokenLength} tokens have no room for {count} facts and a question; at least {(count * factTokens) + options.TokenLength - budget} are needed.");
        }

        int pool = options.Recurring ? (int)Math.Ceiling(Math.Sqrt(count * PairsPerFact)) : count;
        string[] names = Draw(_vocabulary.Names, pool, random);
        string[] objects = Draw(_vocabulary.Objects, Math.Max(pool, (int)Math.Ceiling(count * PairsPerFact / names.Length)), random);
        IEnumerable<(string Name, string Object)> pairs = names.Zip(objects);
        if (options.Recurring)
        {
            (string, string)[] table = [.. names.SelectMany(name => objects.Select(item => (name, item)))];
            random.Shuffle(table.AsSpan());
            pairs = table;
        }

        return [.. pairs.Take(count).Select(pair => MakeFact(pair.Name, pair.Object, random.Pick(_vocabulary.Places)))];
    }

    private static string[] Draw(IReadOnlyList<string> words, int count, SplitMix64 random)
    {
        string[] drawn = [.. words];
        random.Shuffle(drawn.AsSpan());
        return drawn[..Math.Min(count, drawn.Length)];
    }

    /// <summary>Facts to ask about, with different answers; where words recur, those first whose name and object both do.</summary>
    private static List<Fact> ChooseAsked(List<Fact> facts, int count, SplitMix64 random)
    {
        Fact[] order = [.. facts];
        random.Shuffle(order.AsSpan());
        List<Fact> asked = [.. order
            .OrderByDescending(fact => facts.Any(other => other.Name == fact.Name && other.Object != fact.Object)
                && facts.Any(other => other.Object == fact.Object && other.Name != fact.Name))
            .DistinctBy(fact => fact.Place)
            .Take(count)];
        return asked.Count == count
            ? asked
            : throw new InvalidOptionException(nameof(RecallDocumentOptions.QuestionCount), $"the document of this seed has {asked.Count} facts with different answers, but {count} were asked for. Make it longer or ask fewer questions.");
    }

    private Fact MakeFact(string name, string item, string place)
        => new(_vocabulary.Fact.Replace("{place}", place, StringComparison.Ordinal)
            .Replace("{object}", item, StringComparison.Ordinal)
            .Replace("{name}", name, StringComparison.Ordinal), name, item, place);

    private RecallQuestion Ask(Fact fact, int start, int length) => new(QuestionText(fact.Name, fact.Object), fact.Place, fact.Sentence, (double)start / length);

    private string QuestionText(string name, string item)
        => $"{_vocabulary.Question.Replace("{object}", item, StringComparison.Ordinal).Replace("{name}", name, StringComparison.Ordinal)} {_vocabulary.AnswerLead}";

    private int LongestFact() => _countTokens(MakeFact(Longest(_vocabulary.Names), Longest(_vocabulary.Objects), Longest(_vocabulary.Places)).Sentence);

    private int LongestQuestion() => _countTokens(QuestionText(Longest(_vocabulary.Names), Longest(_vocabulary.Objects)));

    private string Longest(IReadOnlyList<string> words) => words.MaxBy(_countTokens)!;

    private sealed record Fact(string Sentence, string Name, string Object, string Place);
}
