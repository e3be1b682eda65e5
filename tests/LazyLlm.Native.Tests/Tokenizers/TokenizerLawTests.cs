using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Tokenizers;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

/// <summary>What must hold for every tokenizer.</summary>
public class TokenizerLawTests
{
    private static readonly string[] Fragments =
    [
        " ", "  ", "\n", "\t\t", "a", "aaaa", "the", " Mira keeps", "attic.", "'s", "'ll", "1234", "é", "e\u0301", "中文", "\u05E9\u05DC", "\U0001F600",
        "\U0001F44D\U0001F3FD", "\U00020000", "\ud83d", "\ude00", "\0", "\uFEFF", "\uFFFD", "\u2028", "<s>", "</s>", "<unk>", "[INST]", "<<SYS>>",
        "<|endoftext|>", "<fim_prefix>", "<0x41>",
    ];

    private static readonly TextTokenizer[] Tokenizers = [TestTokenizers.Demo, TestTokenizers.MadeUpXgen];

    private static Gen<string> Texts { get; } = Gen.Frequency(
        (3, Gen.Elements(Fragments).ListOf().Select(string.Concat)),
        (1, Gen.Choose(0, char.MaxValue).Select(unit => (char)unit).ArrayOf().Select(units => new string(units))));

    [Property(MaxTest = 500)]
    public Property Decoding_gives_the_encoded_text_back() => Prop.ForAll(Texts.ToArbitrary(), text =>
    {
        // Lone surrogates become U+FFFD on the way to UTF-8; U+2581 is SentencePiece's own sign for a space.
        string expected = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        foreach (TextTokenizer tokenizer in Tokenizers)
        {
            string shown = tokenizer is SentencePieceTokenizer ? expected.Replace('\u2581', ' ') : expected;
            Assert.Equal(shown, tokenizer.Decode(tokenizer.Encode(text)));
            Assert.Equal(shown, tokenizer.Decode(tokenizer.EncodeContinuation(text), continuation: true));
        }
    });

    [Property(MaxTest = 300)]
    public Property Text_never_becomes_a_control_token() => Prop.ForAll(Texts.ToArbitrary(), text =>
        Tokenizers.All(tokenizer => !tokenizer.Encode(text, addBeginToken: false).Any(tokenizer.IsControlToken)
            && tokenizer.Encode(text, addBeginToken: false).All(id => id >= 0 && id < tokenizer.VocabularySize)));

    [Property(MaxTest = 300)]
    public Property Streamed_text_holds_back_only_unfinished_characters() => Prop.ForAll(Texts.ToArbitrary(), text =>
    {
        string whole = text.Replace("\uFFFD", "").Replace('\u2581', '_');
        whole = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(whole)).Replace("\uFFFD", "");
        foreach (TextTokenizer tokenizer in Tokenizers)
        {
            StreamingDecoder decoder = tokenizer.CreateDecoder();
            var streamed = new StringBuilder();
            foreach (int id in tokenizer.Encode(whole))
            {
                string piece = decoder.Append(id).ToString();
                Assert.DoesNotContain('\uFFFD', piece);
                Assert.True(piece.EnumerateRunes().All(rune => rune != Rune.ReplacementChar), "half of a surrogate pair");
                Assert.InRange(decoder.PendingByteCount, 0, 3);
                streamed.Append(piece);
            }

            Assert.Equal(0, decoder.PendingByteCount);
            Assert.Equal("", decoder.Flush().ToString());
            Assert.Equal(whole, streamed.ToString());
        }
    });

    [Property(MaxTest = 500)]
    public Property Streaming_any_ids_gives_the_text_of_all_of_them()
    {
        // Bytes are a sixth of the demo's vocabulary, so broken and finished characters are common; 1,536 and above are spare ids.
        Gen<int> ids = Gen.Frequency((2, Gen.Choose(0, 259)), (1, Gen.Choose(0, 1540)));
        var cases = from list in ids.ArrayOf() from continuation in Gen.Elements(true, false) select (list, continuation);
        return Prop.ForAll(cases.ToArbitrary(), input =>
        {
            foreach (TextTokenizer tokenizer in Tokenizers)
            {
                StreamingDecoder decoder = tokenizer.CreateDecoder(input.continuation);
                var streamed = new StringBuilder();
                foreach (int id in input.list)
                {
                    streamed.Append(decoder.Append(id));
                    Assert.InRange(decoder.PendingByteCount, 0, 3);
                }

                streamed.Append(decoder.Flush());
                Assert.Equal(tokenizer.Decode(input.list, input.continuation), streamed.ToString());
            }
        });
    }

    [Fact]
    public void Empty_text_is_no_token()
    {
        Assert.Equal([1], TestTokenizers.Demo.Encode(""));
        Assert.Empty(TestTokenizers.Demo.Encode("", addBeginToken: false));
        Assert.Empty(TestTokenizers.Demo.EncodeContinuation(""));
        Assert.Empty(TestTokenizers.MadeUpXgen.Encode(""));
        Assert.Equal("", TestTokenizers.Demo.Decode([]));
    }

    [Fact]
    public void A_negative_id_is_refused_and_an_id_beyond_the_vocabulary_is_no_text()
    {
        foreach (TextTokenizer tokenizer in Tokenizers)
        {
            int spare = tokenizer.VocabularySize;
            Assert.Equal("", tokenizer.Decode([spare, int.MaxValue]));
            Assert.Equal($"<unused {spare}>", tokenizer.TokenText(spare));
            Assert.False(tokenizer.IsControlToken(spare));
            Assert.Throws<InvalidOptionException>(() => tokenizer.Decode([-1]));
            Assert.Throws<InvalidOptionException>(() => tokenizer.CreateDecoder().Append(int.MinValue).Length);
            Assert.Throws<InvalidOptionException>(() => tokenizer.TokenText(-1));
        }
    }

    [Fact]
    public void A_tokenizer_larger_than_the_embedding_is_refused_with_both_numbers()
    {
        TestTokenizers.Demo.RequireFits(1536);
        TestTokenizers.Demo.RequireFits(2000);
        string message = Assert.Throws<ModelFormatException>(() => TestTokenizers.Demo.RequireFits(1535)).Message;
        Assert.Contains("1536", message);
        Assert.Contains("1535", message);
    }

    [Fact]
    public void A_word_of_a_megabyte_takes_no_quadratic_time()
    {
        // A loop that scans for each merge would take some 10^11 steps here.
        string word = new('a', 1 << 20);
        string mixed = string.Concat(Enumerable.Range(0, 1 << 20).Select(i => (char)('a' + (i * 7919 % 26))));
        foreach (TextTokenizer tokenizer in Tokenizers)
        {
            Assert.Equal(word, tokenizer.Decode(tokenizer.Encode(word)));
            Assert.Equal(mixed, tokenizer.Decode(tokenizer.Encode(mixed)));
        }
    }
}
