using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class SentencePieceTokenizerTests
{
    [Fact]
    public void Llama2_golden_ids_and_texts()
    {
        var tokenizer = SentencePieceTokenizer.Load(RepositoryFiles.Shared("tokenizers", "llama2", "tokenizer.model"));
        Assert.Equal(32000, tokenizer.VocabularySize);
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(RepositoryFiles.Shared("tokenizers", "llama2", "golden.json")));
        foreach (JsonElement example in golden.RootElement.EnumerateArray())
        {
            string text = example.GetProperty("text").GetString()!;
            int[] ids = [.. example.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
            Assert.Equal(ids, tokenizer.Encode(text, addBeginToken: false));
            Assert.Equal([1, .. ids], tokenizer.Encode(text));
            Assert.Equal(example.GetProperty("decoded").GetString(), tokenizer.Decode(ids));
        }
    }

    [Fact]
    public void Stories260K_golden_ids()
    {
        var tokenizer = SentencePieceTokenizer.Load(RepositoryFiles.Shared("golden", "models", "stories260K", "tokenizer.model"));
        const string Text = "Once upon a time, there was a little girl named Lily. She loved";
        int[] ids = [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396];
        Assert.Equal(ids, tokenizer.Encode(Text));
        Assert.Equal(Text, tokenizer.Decode(ids));
    }

    [Fact]
    public void A_word_of_the_demo_model_is_one_token()
    {
        SentencePieceTokenizer tokenizer = TestTokenizers.Demo;
        Assert.Equal(1536, tokenizer.VocabularySize);
        Assert.Equal(1, tokenizer.BeginToken);
        Assert.Equal([2], tokenizer.EndTokens);
        int[] ids = tokenizer.Encode("Mira keeps the lamp in the attic.");
        Assert.Equal(["<s>", " Mira", " keeps", " the", " lamp", " in", " the", " attic", "."], ids.Select(tokenizer.TokenText));
    }

    [Fact]
    public void Equal_scores_merge_from_the_left()
    {
        SentencePieceTokenizer tokenizer = TestTokenizers.Load(SentencePieceFile.With(("a", -9), ("aa", -1), ("aaa", -1)));
        // The first pair becomes aa, which makes aaa the leftmost of the best.
        Assert.Equal(["aaa", "aa"], tokenizer.EncodeContinuation("aaaaa").Select(tokenizer.TokenText));
    }

    [Property(MaxTest = 500)]
    public Property Merges_are_those_of_a_plain_search_for_the_best_pair()
    {
        // Few scores, so that ties are common; single letters sometimes without a piece.
        Gen<string> word = Gen.Elements('a', 'b', 'é').ArrayOf().Select(letters => new string(letters));
        var cases = from pieces in word.Where(piece => piece.Length is > 0 and < 5).ListOf()
                    from scores in Gen.Choose(-3, 0).ArrayOf(pieces.Count)
                    from text in word
                    select (pieces.Zip(scores, (piece, score) => (Text: piece, Score: (float)score)).DistinctBy(piece => piece.Text).ToArray(), text);
        return Prop.ForAll(cases.ToArbitrary(), input =>
        {
            ((string Text, float Score)[] pieces, string text) = input;
            SentencePieceTokenizer tokenizer = TestTokenizers.Load(SentencePieceFile.With(pieces));
            Assert.Equal(PlainMerge(text, pieces.ToDictionary(piece => piece.Text, piece => piece.Score)), tokenizer.EncodeContinuation(text).Select(tokenizer.TokenText));
        });
    }

    [Fact]
    public void Characters_without_a_piece_become_bytes_or_one_unknown_token()
    {
        SentencePieceTokenizer withBytes = TestTokenizers.Load(SentencePieceFile.With(("a", -1)));
        Assert.Equal("<0xC3> <0xA9> a".Split(' '), withBytes.EncodeContinuation("éa").Select(withBytes.TokenText));
        var file = new SentencePieceFile { ByteFallback = false };
        SentencePieceTokenizer without = TestTokenizers.Load(file.Standard().Add("a").Add("\u2581"));
        Assert.Equal([4, 0, 3, 0], without.Encode("éüaé", addBeginToken: false));
        Assert.Equal(" \u2047 a \u2047 ", without.Decode([4, 0, 3, 0]));
    }

    [Fact]
    public void User_defined_text_is_always_one_token_and_the_longest_counts()
    {
        SentencePieceFile file = SentencePieceFile.With(("a", -1), ("b", -1), ("ab", -1), ("aab", 0))
            .Add("<x>", 0, SentencePieceFile.UserDefined).Add("<x>ab", 0, SentencePieceFile.UserDefined);
        SentencePieceTokenizer tokenizer = TestTokenizers.Load(file);
        Assert.Equal("ab <x>ab <x> a <x>".Split(' '), tokenizer.EncodeContinuation("ab<x>ab<x>a<x>").Select(tokenizer.TokenText));
    }

    [Fact]
    public void An_unused_piece_is_split_into_what_it_was_merged_from()
    {
        SentencePieceFile file = SentencePieceFile.With(("a", -9), ("b", -9), ("c", -9), ("ab", -1)).Add("abc", -2, SentencePieceFile.Unused);
        SentencePieceTokenizer tokenizer = TestTokenizers.Load(file);
        Assert.Equal(["ab", "c"], tokenizer.EncodeContinuation("abc").Select(tokenizer.TokenText));
    }

    [Fact]
    public void A_continuation_gets_no_space_before_it()
    {
        SentencePieceTokenizer tokenizer = TestTokenizers.Demo;
        Assert.Equal([1, .. tokenizer.EncodeContinuation(" the lamp")], tokenizer.Encode("the lamp"));
        Assert.NotEqual(tokenizer.EncodeContinuation("the lamp"), tokenizer.EncodeContinuation(" the lamp"));
    }

    private static List<string> PlainMerge(string text, Dictionary<string, float> scores)
    {
        List<string> symbols = [.. text.Select(letter => letter.ToString())];
        while (true)
        {
            int best = -1;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                if (scores.TryGetValue(symbols[i] + symbols[i + 1], out float score)
                    && (best < 0 || score > scores[symbols[best] + symbols[best + 1]]))
                {
                    best = i;
                }
            }

            if (best < 0)
            {
                break;
            }

            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }

        // A letter without a piece is shown by its bytes; ASCII bytes show as themselves.
        return [.. symbols.SelectMany(symbol => symbol == "é" && !scores.ContainsKey(symbol) ? (string[])["<0xC3>", "<0xA9>"] : [symbol])];
    }
}
