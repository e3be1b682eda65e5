using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Methods;

/// <summary>
/// Cuts tokens into phrases, the units that Selective Context keeps or drops. Its authors take noun phrases from a
/// parser; without one, a phrase here ends at punctuation or a line break and before a word of grammar (article,
/// preposition, conjunction, pronoun, auxiliary), which opens the next.
/// </summary>
internal static class PhraseCutter
{
    private static readonly HashSet<string> GrammarWords = new(
        ("a an the this that these those each every some any no of in on at to from by with without for about over under near into "
        + "through during before after between against and or but nor so yet if when while because although than as i you he she it "
        + "we they who whom which what where whose is are was were be been being am do does did has have had will would can could "
        + "shall should may might must not").Split(' '),
        StringComparer.OrdinalIgnoreCase);

    /// <summary>The ranges of the phrases; together they are all tokens, in order.</summary>
    public static List<Range> Cut(ReadOnlySpan<int> tokens, TextTokenizer tokenizer)
    {
        var phrases = new List<Range>();
        int start = 0;
        bool ended = false;
        for (int word = 0; word < tokens.Length;)
        {
            int end = EndOfWord(tokens, word, tokenizer);
            string text = tokenizer.Decode(tokens[word..end], continuation: true);
            if (word > start && (ended || GrammarWords.Contains(text.Trim())))
            {
                phrases.Add(start..word);
                start = word;
            }

            ended = text.TrimEnd(' ') is { Length: > 0 } shown && (shown[^1] == '\n' || (char.IsPunctuation(shown[^1]) && shown[^1] is not ('-' or '\'')));
            word = end;
        }

        if (start < tokens.Length)
        {
            phrases.Add(start..tokens.Length);
        }

        return phrases;
    }

    /// <summary>A word is a token and those after it that do not open with white space.</summary>
    private static int EndOfWord(ReadOnlySpan<int> tokens, int start, TextTokenizer tokenizer)
    {
        int end = start + 1;
        while (end < tokens.Length && tokenizer.TokenBytes(tokens[end]) is [not ((byte)' ' or (byte)'\n' or (byte)'\t' or (byte)'\r'), ..])
        {
            end++;
        }

        return end;
    }
}
