using System.Globalization;
using System.Text;

namespace LazyLlm.Native.Models;

/// <summary>Text out of a file that nobody vouches for, made fit for an error message: short, and without control characters.</summary>
internal static class Excerpt
{
    private const int MaxLength = 120;

    /// <summary><paramref name="text"/> between quotes, cut after 120 characters, what does not print as <c>\uXXXX</c>.</summary>
    public static string Quote(string text) => $"\"{Of(text)}\"";

    /// <summary><paramref name="text"/> cut after 120 characters, what does not print as <c>\uXXXX</c>.</summary>
    public static string Of(string text)
    {
        var shown = new StringBuilder();
        foreach (char c in text.AsSpan(0, Math.Min(text.Length, MaxLength)))
        {
            bool prints = char.GetUnicodeCategory(c) is not (UnicodeCategory.Control or UnicodeCategory.Format
                or UnicodeCategory.Surrogate or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);
            if (prints)
            {
                shown.Append(c);
            }
            else
            {
                shown.Append($"\\u{(int)c:x4}");
            }
        }

        return text.Length > MaxLength ? shown.Append("...").ToString() : shown.ToString();
    }
}
