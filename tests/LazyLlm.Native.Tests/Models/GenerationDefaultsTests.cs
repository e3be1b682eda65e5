using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public class GenerationDefaultsTests
{
    private static GenerationDefaults Parse(string json) => GenerationDefaults.Parse("generation_config.json", Encoding.UTF8.GetBytes(json), 32_000);

    [Fact]
    public void What_Llama_2_chat_advises_is_read()
    {
        GenerationDefaults defaults = Parse("""
            {"bos_token_id": 1, "do_sample": true, "eos_token_id": 2, "pad_token_id": 0, "temperature": 0.6,
             "max_length": 4096, "top_p": 0.9, "transformers_version": "4.32.0.dev0"}
            """);
        Assert.True(defaults.Sample);
        Assert.Equal((0.6, 0.9), (defaults.Temperature, defaults.TopP));
        Assert.Equal([2], defaults.EndTokens);
        Assert.Null(defaults.TopK);
        Assert.Null(defaults.MaxNewTokens);
    }

    [Fact]
    public void Every_field_is_read()
    {
        GenerationDefaults defaults = Parse("""
            {"do_sample": false, "temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0.05, "repetition_penalty": 1.1,
             "max_new_tokens": 7, "eos_token_id": [2, 31999]}
            """);
        Assert.False(defaults.Sample);
        Assert.Equal((0.0, 1.0, 0.05, 1.1), (defaults.Temperature, defaults.TopP, defaults.MinP, defaults.RepetitionPenalty));
        Assert.Equal((0, 7), (defaults.TopK, defaults.MaxNewTokens));
        Assert.Equal([2, 31999], defaults.EndTokens);
    }

    [Fact]
    public void A_file_that_is_not_there_says_nothing()
    {
        using var folder = new ScratchFolder();
        Assert.Equal(new GenerationDefaults(), GenerationDefaults.Read(folder["generation_config.json"], 100));
        Assert.Equal(new GenerationDefaults(), Parse("{\"top_k\":null}"));
    }

    [Theory]
    [InlineData("temperature", "-0.1")]
    [InlineData("temperature", "1e400")]
    [InlineData("temperature", "\"0.6\"")]
    [InlineData("top_p", "1.5")]
    [InlineData("top_p", "-1")]
    [InlineData("top_k", "-1")]
    [InlineData("top_k", "2.5")]
    [InlineData("min_p", "2")]
    [InlineData("repetition_penalty", "0")]
    [InlineData("max_new_tokens", "0")]
    [InlineData("max_new_tokens", "2147483648")]
    [InlineData("do_sample", "1")]
    [InlineData("eos_token_id", "32000")]
    public void A_value_out_of_range_is_refused_by_name(string field, string value)
    {
        var error = Assert.Throws<ModelFormatException>(() => Parse($"{{\"{field}\":{value}}}"));
        Assert.Contains($"{field} is {value}; expected", error.Message, StringComparison.Ordinal);
    }
}
