using System.Buffers;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;
using Microsoft.ML.Tokenizers;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class TokenizerAdapterTests
{
    private const string Text = "Mira keeps the lamp 😀 in the attic.";

    private static readonly TextTokenizer[] Tokenizers = [TestTokenizers.Demo, TestTokenizers.MadeUpXgen];

    [Fact]
    public void It_gives_the_same_ids_and_text()
    {
        foreach (TextTokenizer tokenizer in Tokenizers)
        {
            Tokenizer adapter = tokenizer.ToMicrosoftTokenizer();
            int[] ids = tokenizer.Encode(Text, addBeginToken: false);
            Assert.Equal(ids, adapter.EncodeToIds(Text));
            Assert.Equal(ids.Length, adapter.CountTokens(Text));
            Assert.Equal(Text, adapter.Decode(ids));
            Assert.Empty(adapter.EncodeToIds(""));
        }
    }

    [Fact]
    public void Offsets_cut_the_text_into_its_tokens_without_a_gap()
    {
        foreach (TextTokenizer tokenizer in Tokenizers)
        {
            IReadOnlyList<EncodedToken> tokens = tokenizer.ToMicrosoftTokenizer().EncodeToTokens(Text, out _);
            Assert.Equal(Text, string.Concat(tokens.Select(token => Text[token.Offset])));
            Assert.Contains(tokens, token => Text[token.Offset].Contains("😀", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_text_can_be_cut_by_tokens()
    {
        Tokenizer adapter = TestTokenizers.Demo.ToMicrosoftTokenizer();
        int end = adapter.GetIndexByTokenCount(Text, 4, out _, out int count);
        Assert.Equal(4, count);
        Assert.Equal("Mira keeps the lamp", Text[..end]);
    }

    [Fact]
    public void The_same_text_gives_the_same_ids_as_the_packages_own_tokenizer()
    {
        using FileStream file = File.OpenRead(Path.Combine(RepositoryFiles.Demo, "tokenizer.model"));
        LlamaTokenizer own = LlamaTokenizer.Create(file, addBeginOfSentence: false);
        Assert.Equal(own.EncodeToIds(Text), TestTokenizers.Demo.ToMicrosoftTokenizer().EncodeToIds(Text));
    }

    [Fact]
    public void Decoding_into_a_buffer_stops_between_characters()
    {
        Tokenizer adapter = TestTokenizers.Demo.ToMicrosoftTokenizer();
        int[] ids = TestTokenizers.Demo.Encode(Text);
        char[] buffer = new char[Text.Length];
        Assert.Equal(OperationStatus.Done, adapter.Decode(ids, buffer, out int idsConsumed, out int charsWritten));
        Assert.Equal((ids.Length, Text), (idsConsumed, new string(buffer, 0, charsWritten)));
        // One unit short of the smiley's two: none of its four byte tokens counts as consumed.
        int smiley = Text.IndexOf("😀", StringComparison.Ordinal);
        Assert.Equal(OperationStatus.DestinationTooSmall, adapter.Decode(ids, buffer.AsSpan(0, smiley + 1), out idsConsumed, out charsWritten));
        Assert.Equal(Text[..smiley], new string(buffer, 0, charsWritten));
        Assert.Equal(Text[..smiley], TestTokenizers.Demo.Decode(ids.AsSpan(0, idsConsumed)));
        Assert.Equal(OperationStatus.Done, adapter.Decode([3 + 0xE4], buffer, out idsConsumed, out charsWritten));
        Assert.Equal((1, "\uFFFD"), (idsConsumed, new string(buffer, 0, charsWritten)));
    }
}
