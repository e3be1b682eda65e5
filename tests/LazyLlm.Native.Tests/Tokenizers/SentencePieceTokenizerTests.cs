using System.Text.Json;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class SentencePieceTokenizerTests
{
    private static readonly SentencePieceTokenizer Demo = SentencePieceTokenizer.Load(Path.Combine(RepositoryFiles.Demo, "tokenizer.model"));

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
        Assert.Equal(1536, Demo.VocabularySize);
        Assert.Equal(1, Demo.BeginToken);
        Assert.Equal([2], Demo.EndTokens);
        int[] ids = Demo.Encode("Mira keeps the lamp in the attic.");
        Assert.Equal(["<s>", " Mira", " keeps", " the", " lamp", " in", " the", " attic", "."], ids.Select(Demo.TokenText));
    }
}
