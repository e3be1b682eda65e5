namespace LazyLlm.Evaluation.Metrics;

/// <summary>
/// ROUGE-L at summary level as the Python package <c>rouge</c> 1.0.1 computes it, which is not Google's: texts are
/// split at full stops, words are compared as they are (no stemming, no lower case), and all counts are of different
/// words.
/// </summary>
internal static class RougeL
{
    /// <summary>The F score, or 0 where one of the texts has no sentence.</summary>
    public static double Score(string prediction, string groundTruth)
    {
        List<string[]> candidate = Sentences(prediction);
        List<string[]> reference = Sentences(groundTruth);
        if (candidate.Count == 0 || reference.Count == 0)
        {
            return 0;
        }

        // The union of common words is carried from one sentence of the reference to the next, so a word counts once.
        var common = new HashSet<string>(StringComparer.Ordinal);
        foreach (string[] referenceSentence in reference)
        {
            foreach (string[] candidateSentence in candidate)
            {
                AddLongestCommonSubsequence(referenceSentence, candidateSentence, common);
            }
        }

        double recall = (double)common.Count / DifferentWords(reference);
        double precision = (double)common.Count / DifferentWords(candidate);
        return 2.0 * (precision * recall / (precision + recall + 1e-8));
    }

    /// <summary>
    /// Pieces between full stops; a piece of white space alone is a sentence of one empty word, an empty piece is none.
    /// </summary>
    private static List<string[]> Sentences(string text)
    {
        var sentences = new List<string[]>();
        foreach (string piece in text.Split('.', StringSplitOptions.RemoveEmptyEntries))
        {
            List<string> words = PythonText.Split(piece);
            sentences.Add(words.Count == 0 ? [""] : [.. words]);
        }

        return sentences;
    }

    private static int DifferentWords(List<string[]> sentences)
        => sentences.SelectMany(sentence => sentence).Distinct(StringComparer.Ordinal).Count();

    /// <summary>
    /// Adds the words of one longest common subsequence. Which one matters: where the table allows both, the way back
    /// goes to the shorter prefix of <paramref name="y"/>.
    /// </summary>
    private static void AddLongestCommonSubsequence(string[] x, string[] y, HashSet<string> common)
    {
        var table = new int[x.Length + 1, y.Length + 1];
        for (int row = 1; row <= x.Length; row++)
        {
            for (int column = 1; column <= y.Length; column++)
            {
                table[row, column] = x[row - 1] == y[column - 1]
                    ? table[row - 1, column - 1] + 1
                    : Math.Max(table[row - 1, column], table[row, column - 1]);
            }
        }

        int i = x.Length;
        int j = y.Length;
        while (i > 0 && j > 0)
        {
            if (x[i - 1] == y[j - 1])
            {
                common.Add(x[i - 1]);
                i--;
                j--;
            }
            else if (table[i - 1, j] > table[i, j - 1])
            {
                i--;
            }
            else
            {
                j--;
            }
        }
    }
}
