using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Sampling;
using Xunit;

namespace LazyLlm.Native.Tests.Sampling;

public class StopMatcherTests
{
    [Fact]
    public void A_stop_string_is_found_across_pieces_and_left_out()
    {
        var matcher = new StopMatcher(["###"]);
        Assert.Equal("Hello ", matcher.Append("Hello #"));
        Assert.Equal(1, matcher.HeldLength);
        Assert.Equal("#x", matcher.Append("x"));
        Assert.Equal("", matcher.Append("##"));
        Assert.Null(matcher.Matched);
        Assert.Equal("", matcher.Append("# Human"));
        Assert.Equal("###", matcher.Matched);
        Assert.Equal("", matcher.Append("more"));
        Assert.Equal("", matcher.Flush());
    }

    [Fact]
    public void What_did_not_become_a_stop_string_comes_out_at_the_end()
    {
        var matcher = new StopMatcher(["abcd"]);
        Assert.Equal("x", matcher.Append("xabc"));
        Assert.Equal("abc", matcher.Flush());
        Assert.Equal("", matcher.Flush());
    }

    [Fact]
    public void A_shorter_candidate_inside_a_longer_one_is_found()
    {
        var matcher = new StopMatcher(["abcde", "bc"]);
        Assert.Equal("", matcher.Append("ab"));
        Assert.Equal("a", matcher.Append("cde"));
        Assert.Equal("bc", matcher.Matched);
    }

    [Fact]
    public void Of_two_that_end_together_the_longest_counts()
    {
        var matcher = new StopMatcher(["c", "abc"]);
        Assert.Equal("x", matcher.Append("xabc"));
        Assert.Equal("abc", matcher.Matched);
    }

    [Fact]
    public void Ten_thousand_stop_strings_cost_one_step_per_character()
    {
        // All are candidates at once on this text: a matcher that tries each one would take 10^9 steps.
        string[] stops = [.. Enumerable.Range(0, 10_000).Select(i => new string('a', 40) + $"{i:x4}")];
        var matcher = new StopMatcher(stops);
        int length = 0;
        for (int i = 0; i < 2_000; i++)
        {
            length += matcher.Append("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").Length;
        }

        Assert.Equal(200_000, length + matcher.HeldLength);
        matcher.Append("270e");
        Assert.Equal(stops[0x270e], matcher.Matched);
    }

    [Fact]
    public void Stop_tokens_are_the_users_and_the_models_unless_these_are_ignored()
    {
        var options = new SamplingOptions { StopTokens = [7] };
        StopMatcher matcher = StopMatcher.For(options, [2]);
        Assert.True(matcher.IsStopToken(7) && matcher.IsStopToken(2) && !matcher.IsStopToken(3));
        matcher = StopMatcher.For(options with { IgnoreEndTokens = true }, [2]);
        Assert.True(matcher.IsStopToken(7) && !matcher.IsStopToken(2));
    }

    [Fact]
    public void An_empty_stop_string_is_refused() => Assert.Throws<InvalidOptionException>(() => new StopMatcher(["a", ""]));

    [Property(MaxTest = 1000)]
    public Property However_the_text_is_cut_the_answer_is_that_of_a_plain_search()
    {
        // A small alphabet makes overlaps of text and stop strings common.
        Gen<string> text = Gen.Elements('a', 'b', 'c').ArrayOf().Select(letters => new string(letters));
        var cases = from pieces in text.ListOf()
                    from stops in text.Where(stop => stop.Length is > 0 and < 6).ListOf()
                    select (pieces, stops);
        return Prop.ForAll(cases.ToArbitrary(), input =>
        {
            (IList<string> pieces, IList<string> stops) = ([.. input.pieces], [.. input.stops]);
            var matcher = new StopMatcher([.. stops]);
            var given = new StringBuilder();
            var seen = new StringBuilder();
            foreach (string piece in pieces)
            {
                given.Append(matcher.Append(piece));
                seen.Append(piece);
                if (matcher.Matched is null)
                {
                    Assert.Equal(seen.Length, given.Length + matcher.HeldLength);
                    Assert.Equal(LongestHold(seen.ToString(), stops), matcher.HeldLength);
                }
            }

            given.Append(matcher.Flush());
            (string expected, string? matched) = PlainSearch(seen.ToString(), stops);
            Assert.Equal(expected, given.ToString());
            Assert.Equal(matched, matcher.Matched);
        });
    }

    private static int LongestHold(string text, IList<string> stops) =>
        Enumerable.Range(0, text.Length + 1).Select(start => text[start..]).First(end => end.Length == 0 || stops.Any(stop => stop.StartsWith(end, StringComparison.Ordinal))).Length;

    private static (string Answer, string? Matched) PlainSearch(string text, IList<string> stops)
    {
        for (int end = 1; end <= text.Length; end++)
        {
            string? match = stops.Where(stop => text[..end].EndsWith(stop, StringComparison.Ordinal)).MaxBy(stop => stop.Length);
            if (match is not null)
            {
                return (text[..(end - match.Length)], match);
            }
        }

        return (text, null);
    }
}
