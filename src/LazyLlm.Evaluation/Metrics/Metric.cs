using System.Text.RegularExpressions;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Metrics;

/// <summary>
/// One of the six metrics of LongBench, computed as its own code does. A score is between 0 and 1; a dataset's score
/// is 100 times the mean over its records of the best score over a record's answers.
/// </summary>
public sealed partial class Metric
{
    private readonly Func<string, string, IReadOnlyList<string>, double> _score;

    private Metric(string name, Func<string, string, IReadOnlyList<string>, double> score)
    {
        Name = name;
        _score = score;
    }

    /// <summary>F1 of the multisets of normalised words.</summary>
    public static Metric QaF1 { get; } = new("qa_f1", (prediction, truth, _) => ScoreWords(AnswerNormalizer.Words(prediction), AnswerNormalizer.Words(truth)));

    /// <summary>ROUGE-L of the package <c>rouge</c>.</summary>
    public static Metric RougeF { get; } = new("rouge_l", (prediction, truth, _) => RougeL.Score(prediction, truth));

    /// <summary>One over the number of class names that the prediction holds, if the true one is among them.</summary>
    public static Metric Classification { get; } = new("classification", ScoreClasses);

    /// <summary>Share of the prediction's numbers that are the true paragraph's.</summary>
    public static Metric Retrieval { get; } = new("retrieval", (prediction, truth, _) => ScoreNumbers(prediction, ParagraphNumber(truth)));

    /// <summary>Share of the prediction's numbers that are the true number.</summary>
    public static Metric Count { get; } = new("count", (prediction, truth, _) => ScoreNumbers(prediction, truth));

    /// <summary>
    /// Edit similarity of the first line of code: difflib's ratio in whole percent, as fuzzywuzzy gives it where
    /// python-Levenshtein is not installed (the benchmark does not ask for it).
    /// </summary>
    public static Metric CodeSimilarity { get; } = new("code_sim", (prediction, truth, _) => ScoreCode(prediction, truth));

    /// <summary>All metrics, in the order of the benchmark's description.</summary>
    public static IReadOnlyList<Metric> All { get; } = [QaF1, RougeF, Classification, Retrieval, Count, CodeSimilarity];

    /// <summary>The metric's name in files and on the command line.</summary>
    public string Name { get; }

    /// <summary>Finds a metric by its name.</summary>
    /// <exception cref="InvalidOptionException">There is none of that name.</exception>
    public static Metric Named(string name) => All.FirstOrDefault(metric => metric.Name == name)
        ?? throw new InvalidOptionException("metric", $"'{name}' is unknown, expected one of {string.Join(", ", All.Select(metric => metric.Name))}.");

    /// <summary>Scores one prediction against one answer.</summary>
    /// <param name="prediction">What the model wrote.</param>
    /// <param name="groundTruth">The answer.</param>
    /// <param name="allClasses">Names of all classes; only <see cref="Classification"/> looks at them.</param>
    /// <exception cref="InvalidOptionException">The answer is not of the metric's form.</exception>
    public double Score(string prediction, string groundTruth, IReadOnlyList<string>? allClasses = null)
    {
        ArgumentNullException.ThrowIfNull(prediction);
        ArgumentNullException.ThrowIfNull(groundTruth);
        return _score(prediction, groundTruth, allClasses ?? []);
    }

    /// <summary>The best score over several answers; 0 if there are none.</summary>
    public double BestScore(string prediction, IEnumerable<string> groundTruths, IReadOnlyList<string>? allClasses = null)
        => groundTruths.Select(truth => Score(prediction, truth, allClasses)).DefaultIfEmpty(0).Max();

    /// <inheritdoc/>
    public override string ToString() => Name;

    private static double ScoreWords(List<string> prediction, List<string> truth)
    {
        Dictionary<string, int> left = truth.CountBy(word => word, StringComparer.Ordinal).ToDictionary(StringComparer.Ordinal);
        int same = prediction.CountBy(word => word, StringComparer.Ordinal).Sum(word => Math.Min(word.Value, left.GetValueOrDefault(word.Key)));
        if (same == 0)
        {
            return 0;
        }

        double precision = 1.0 * same / prediction.Count;
        double recall = 1.0 * same / truth.Count;
        return 2 * precision * recall / (precision + recall);
    }

    private static double ScoreClasses(string prediction, string truth, IReadOnlyList<string> allClasses)
    {
        List<string> found = [.. allClasses.Where(name => prediction.Contains(name, StringComparison.Ordinal))];

        // Class names that are part of the true one are struck off, but the benchmark strikes them while it walks the
        // list, so the name after a struck one is never looked at. The scores depend on it.
        for (int i = 0; i < found.Count; i++)
        {
            string name = found[i];
            if (truth.Contains(name, StringComparison.Ordinal) && name != truth)
            {
                found.Remove(name);
            }
        }

        return found.Contains(truth) ? 1.0 / found.Count : 0;
    }

    private static double ScoreNumbers(string prediction, string truth)
    {
        MatchCollection numbers = Number().Matches(prediction);
        return numbers.Count == 0 ? 0 : (double)numbers.Count(number => number.Value == truth) / numbers.Count;
    }

    private static string ParagraphNumber(string truth) => Paragraph().Match(truth) is { Success: true } match
        ? match.Groups[1].Value
        : throw new InvalidOptionException("answer", $"'{truth}' does not name a paragraph; the metric 'retrieval' expects 'Paragraph N'.");

    private static double ScoreCode(string prediction, string truth)
    {
        string line = prediction.TrimStart('\n').Split('\n').FirstOrDefault(IsCode, "");
        if (line == truth)
        {
            return 1;
        }

        return line.Length == 0 || truth.Length == 0 ? 0 : Math.Round(100 * SequenceRatio.Of(line, truth)) / 100;
    }

    private static bool IsCode(string line) => !line.Contains('`', StringComparison.Ordinal)
        && !line.Contains('#', StringComparison.Ordinal)
        && !line.Contains("//", StringComparison.Ordinal);

    [GeneratedRegex(@"\d+", RegexOptions.CultureInvariant)]
    private static partial Regex Number();

    [GeneratedRegex(@"Paragraph (\d+)", RegexOptions.CultureInvariant)]
    private static partial Regex Paragraph();
}
