using System.Text.Json;
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
}
