using System.Text;
using System.Text.Json;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class XgenTokenizerTests
{
    [Fact]
    public void Golden_ids()
    {
        var tokenizer = XgenTokenizer.Load(RepositoryFiles.Shared("tokenizers", "xgen", "gpt2.tiktoken"));
        Assert.Equal(50313, tokenizer.VocabularySize);
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(RepositoryFiles.Shared("tokenizers", "xgen", "golden.json")));
        foreach (JsonElement example in golden.RootElement.EnumerateArray())
        {
            string text = example.GetProperty("text").GetString()!;
            int[] ids = [.. example.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
            Assert.Equal(ids, tokenizer.Encode(text));
            Assert.Equal(text, tokenizer.Decode(ids));
        }

        Assert.Equal("<|endoftext|>", tokenizer.TokenText(50256));
        Assert.Equal("<fim_prefix>", tokenizer.TokenText(50295));
        Assert.Equal("<reponame>", tokenizer.TokenText(50312));
    }

    [Fact]
    public void Whitespace_runs_and_control_tokens_have_their_ids()
    {
        XgenTokenizer tokenizer = TestTokenizers.MadeUpXgen;
        Assert.Null(tokenizer.BeginToken);
        Assert.Equal([50256], tokenizer.EndTokens);
        for (int length = 2; length <= 31; length++)
        {
            Assert.Equal([50257 + 31 - length], tokenizer.Encode(new string(' ', length)));
        }

        for (int length = 2; length <= 9; length++)
        {
            Assert.Equal([50287 + 9 - length], tokenizer.Encode(new string('\t', length)));
        }

        int[] control = [50256, .. Enumerable.Range(50295, 18)];
        Assert.Equal(control, Enumerable.Range(0, tokenizer.VocabularySize).Where(tokenizer.IsControlToken));
        Assert.Equal("", tokenizer.Decode(control));
    }

    [Theory]
    [InlineData("found 50255 ranks", "AA== 0\n", "")]
    [InlineData("rank 50256", "AA== 0\n", "AA== 50256\n")]
    [InlineData("rank 1,", "AA== 0\n", "AA== 1\n")]
    [InlineData("line 1 ", "AA== 0\n", "AA==\n")]
    [InlineData("line 1 ", "AA== 0\n", "A!== 0\n")]
    [InlineData("line 1 ", "AA== 0\n", "AA== -1\n")]
    [InlineData("line 1 ", "AA== 0\n", "AA== 0 0\n")]
    [InlineData("line 1 ", "AA== 0\n", " 0\n")]
    [InlineData("tokens 1 and 65", "QQ== 65\n", "AQ== 65\n")]
    [InlineData("single byte 0x41", "QQ== 65\n", "QUFB 65\n")]
    public void A_bad_ranks_file_is_refused_with_its_name_and_what_is_wrong(string expected, string line, string replacement)
    {
        string ranks = Encoding.ASCII.GetString(TestTokenizers.MadeUpRanks());
        int at = ranks.IndexOf(line, StringComparison.Ordinal);
        string changed = ranks[..at] + replacement + ranks[(at + line.Length)..];
        var error = Assert.Throws<ModelFormatException>(() => TestTokenizers.LoadFrom(".tiktoken", Encoding.ASCII.GetBytes(changed), XgenTokenizer.Load));
        Assert.Contains(error.Path, error.Message);
        Assert.Contains(expected, error.Message);
    }

    [Fact]
    public void Windows_line_ends_and_a_missing_last_one_are_accepted()
    {
        string ranks = Encoding.ASCII.GetString(TestTokenizers.MadeUpRanks()).Replace("\n", "\r\n").TrimEnd();
        XgenTokenizer tokenizer = TestTokenizers.LoadFrom(".tiktoken", Encoding.ASCII.GetBytes(ranks), XgenTokenizer.Load);
        Assert.Equal(50313, tokenizer.VocabularySize);
    }
}
