using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Native.Tokenizers;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public partial class Gpt2WordSplitterTests
{
    [Property(MaxTest = 2000)]
    public Property Words_are_those_of_the_pattern()
    {
        Gen<string> texts = Gen.Elements([.. " \n\t\u00A0\u3000'sdmtlveraZé中1\u0663\u2167-_.!\u0301\uFFFD"]).ArrayOf().Select(letters => new string(letters));
        return Prop.ForAll(texts.ToArbitrary(), text => Assert.Equal(Pattern().Matches(text).Select(match => match.Value), Split(text)));
    }

    [Fact]
    public void Letters_beyond_the_first_plane_are_letters()
    {
        Assert.Equal(["a\U00020000b", " \U0001D400", "\U0001F600"], Split("a\U00020000b \U0001D400\U0001F600"));
        Assert.Equal(["a", "\ud83d", "b"], Split("a\ud83db"));
    }

    private static List<string> Split(string text)
    {
        var words = new List<string>();
        for (int start = 0; start < text.Length; start += words[^1].Length)
        {
            words.Add(text.Substring(start, Gpt2WordSplitter.NextWord(text.AsSpan(start))));
        }

        return words;
    }

    [GeneratedRegex(@"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")]
    private static partial Regex Pattern();
}
