using System.Text;

namespace LazyLlm.Evaluation.Metrics;

/// <summary>
/// The answer normalisation of SQuAD that the benchmark scores question answering with: lower case, no ASCII
/// punctuation, no articles, single spaces.
/// </summary>
internal static class AnswerNormalizer
{
    private const string Punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

    /// <summary>The words of an answer after normalisation.</summary>
    public static List<string> Words(string answer)
    {
        var kept = new StringBuilder(answer.Length);
        foreach (char character in answer.ToLowerInvariant())
        {
            if (!Punctuation.Contains(character, StringComparison.Ordinal))
            {
                kept.Append(character);
            }
        }

        return PythonText.Split(WithoutArticles(kept.ToString()));
    }

    /// <summary>
    /// Puts a space in place of each "a", "an" and "the" that stands between word borders, which are finer than
    /// white space: the "the" of "the–end" is one.
    /// </summary>
    private static string WithoutArticles(string text)
    {
        var result = new StringBuilder(text.Length);
        var word = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (PythonText.IsWord(rune))
            {
                word.Append(rune);
                continue;
            }

            EndWord();
            result.Append(rune);
        }

        EndWord();
        return result.ToString();

        void EndWord()
        {
            result.Append(word.ToString() is var found && found is "a" or "an" or "the" ? " " : found);
            word.Clear();
        }
    }
}
