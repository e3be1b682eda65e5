using System.Globalization;
using System.Text;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// Cuts text into the words that GPT-2's byte-pair encoding never merges across. Its rule as a pattern:
/// <c>'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>.
/// </summary>
/// <remarks>Written out because .NET's patterns see surrogates where the rule speaks of letters beyond U+FFFF.</remarks>
internal static class Gpt2WordSplitter
{
    private enum Class
    {
        Space,
        Letter,
        Number,
        Other,
    }

    /// <summary>Length in UTF-16 units of the first word of a text that is not empty.</summary>
    public static int NextWord(ReadOnlySpan<char> text)
    {
        if (ContractionLength(text) is int contraction and > 0)
        {
            return contraction;
        }

        Class first = ClassAt(text, 0, out int length);
        if (first != Class.Space)
        {
            return RunEnd(text, length, first);
        }

        // One ASCII space belongs to the word after it.
        if (text[0] == ' ' && text.Length > 1 && ClassAt(text, 1, out int next) is var word and not Class.Space)
        {
            return RunEnd(text, 1 + next, word);
        }

        // Of a run of whitespace before a word the last one is left to what follows, unless it is all there is.
        int end = RunEnd(text, length, Class.Space);
        return end == text.Length || end == 1 ? end : end - 1;
    }

    private static int ContractionLength(ReadOnlySpan<char> text)
    {
        if (text.Length < 2 || text[0] != '\'')
        {
            return 0;
        }

        if (text[1] is 's' or 'd' or 'm' or 't')
        {
            return 2;
        }

        return text.Length > 2 && text[1..3] is "ll" or "ve" or "re" ? 3 : 0;
    }

    private static int RunEnd(ReadOnlySpan<char> text, int start, Class run)
    {
        while (start < text.Length && ClassAt(text, start, out int length) == run)
        {
            start += length;
        }

        return start;
    }

    private static Class ClassAt(ReadOnlySpan<char> text, int start, out int length)
    {
        // A lone surrogate decodes as U+FFFD, which is what it is encoded as.
        Rune.DecodeFromUtf16(text[start..], out Rune rune, out length);
        if (Rune.IsWhiteSpace(rune))
        {
            return Class.Space;
        }

        return Rune.GetUnicodeCategory(rune) switch
        {
            <= UnicodeCategory.OtherLetter => Class.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Class.Number,
            _ => Class.Other,
        };
    }
}
