using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Native.Sampling;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public class GenerationDefaultsTests
{
    private static GenerationDefaults Parse(string json) => GenerationDefaults.Parse("generation_config.json", Encoding.UTF8.GetBytes(json), 32_000);

    [Fact]
    public void Advice_to_sample_becomes_options_and_what_it_leaves_out_stays_off()
    {
        var llama2 = new GenerationDefaults { Sample = true, Temperature = 0.6, TopP = 0.9, MaxNewTokens = 100 };
        Assert.Equal(new SamplingOptions { Temperature = 0.6f, TopP = 0.9f, MaxTokens = 100, RepetitionWindow = 4096 }, llama2.ToSampling(4096));
        var all = new GenerationDefaults { Sample = true, TopK = 40, MinP = 0.05, RepetitionPenalty = 1.1 };
        SamplingOptions options = all.ToSampling(2048);
        Assert.Equal((1f, 40, 0.05f, 1.1f, 2048), (options.Temperature, options.TopK, options.MinP, options.RepetitionPenalty, options.RepetitionWindow));
        options.Validate();
    }

    [Theory]
    [InlineData(null)]
    [InlineData(false)]
    public void Without_advice_to_sample_the_options_are_greedy(bool? sample)
    {
        SamplingOptions options = new GenerationDefaults { Sample = sample, Temperature = 0.6, TopP = 0.9, RepetitionPenalty = 1.2 }.ToSampling(2048);
        Assert.True(options.IsGreedy);
        Assert.Equal((1f, 1.2f), (options.TopP, options.RepetitionPenalty));
    }

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
