using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public class ModelConfigTests
{
    private static ModelConfig Parse(string json) => Parse(Encoding.UTF8.GetBytes(json));

    private static ModelConfig Parse(byte[] json) => ModelConfigReader.Parse("config.json", json);

    private static void AssertRefused(byte[] json, params string[] words)
    {
        var error = Assert.Throws<ModelFormatException>(() => Parse(json));
        Assert.StartsWith("config.json: ", error.Message, StringComparison.Ordinal);
        Assert.All(words, word => Assert.Contains(word, error.Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Llama_2_with_grouped_queries_is_read()
    {
        ModelConfig config = Parse(ConfigText.Llama2With70BParameters);
        Assert.Equal((8192, 28672, 80), (config.HiddenSize, config.IntermediateSize, config.LayerCount));
        Assert.Equal((64, 8, 128), (config.HeadCount, config.KeyValueHeadCount, config.HeadSize));
        Assert.Equal((8192, 1024), (config.QueryWidth, config.KeyValueWidth));
        Assert.Equal((32000, 4096), (config.VocabularySize, config.ContextLength));
        Assert.Equal((1e-5, 10_000.0), (config.NormEpsilon, config.RopeTheta));
        Assert.Equal(RopeScalingKind.None, config.RopeScaling.Kind);
        Assert.Equal(TensorType.Float16, config.DeclaredType);
        Assert.Equal(1, config.BeginToken);
        Assert.Equal([2], config.EndTokens);
    }

    [Fact]
    public void XGen_is_read_without_rope_theta_and_with_a_padding_token()
    {
        ModelConfig config = Parse(ConfigText.Xgen7B8K);
        Assert.Equal((32, 32, 128), (config.HeadCount, config.KeyValueHeadCount, config.HeadSize));
        Assert.Equal((51200, 8192), (config.VocabularySize, config.ContextLength));
        Assert.Equal((1e-6, 10_000.0), (config.NormEpsilon, config.RopeTheta));
        Assert.Equal(TensorType.Float32, config.DeclaredType);
        Assert.Equal(50256, config.BeginToken);
        Assert.Equal([50256], config.EndTokens);
    }

    [Fact]
    public void Llama_3_1_is_read_with_its_rope_scaling_and_three_end_tokens()
    {
        ModelConfig config = Parse(ConfigText.Llama31With8BParameters);
        Assert.Equal(new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 8192), config.RopeScaling);
        Assert.Equal([128001, 128008, 128009], config.EndTokens);
        Assert.Equal(TensorType.BFloat16, config.DeclaredType);
    }

    [Fact]
    public void Fields_that_may_be_absent_take_the_defaults_of_LlamaConfig()
    {
        ModelConfig config = Parse(ConfigText.Without(
            "architectures", "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta", "hidden_act",
            "tie_word_embeddings", "torch_dtype", "bos_token_id", "eos_token_id"));
        Assert.Equal(8, config.KeyValueHeadCount);
        Assert.Equal(2_048, config.ContextLength);
        Assert.Equal((1e-6, 10_000.0), (config.NormEpsilon, config.RopeTheta));
        Assert.False(config.TiedEmbeddings);
        Assert.Equal(TensorType.Float32, config.DeclaredType);
        Assert.Null(config.BeginToken);
        Assert.Empty(config.EndTokens);
    }

    [Theory]
    [InlineData("hidden_size")]
    [InlineData("intermediate_size")]
    [InlineData("num_hidden_layers")]
    [InlineData("num_attention_heads")]
    [InlineData("vocab_size")]
    public void A_missing_size_is_refused(string field)
    {
        AssertRefused(ConfigText.Without(field), $"has no {field}", "expected a whole number");
        AssertRefused(ConfigText.With(field, "null"), $"has no {field}");
    }

    [Theory]
    [InlineData("hidden_size", "0")]
    [InlineData("hidden_size", "-64")]
    [InlineData("hidden_size", "2147483648")]
    [InlineData("hidden_size", "2147483647")]
    [InlineData("hidden_size", "64.0")]
    [InlineData("hidden_size", "\"64\"")]
    [InlineData("hidden_size", "[64]")]
    [InlineData("hidden_size", "true")]
    [InlineData("intermediate_size", "0")]
    [InlineData("intermediate_size", "1e3")]
    [InlineData("num_hidden_layers", "0")]
    [InlineData("num_hidden_layers", "1000000")]
    [InlineData("num_attention_heads", "0")]
    [InlineData("num_attention_heads", "7")]
    [InlineData("num_attention_heads", "64")]
    [InlineData("num_key_value_heads", "0")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("num_key_value_heads", "16")]
    [InlineData("head_dim", "0")]
    [InlineData("head_dim", "7")]
    [InlineData("head_dim", "258")]
    [InlineData("vocab_size", "0")]
    [InlineData("vocab_size", "100000000")]
    [InlineData("max_position_embeddings", "0")]
    [InlineData("max_position_embeddings", "-1")]
    [InlineData("rms_norm_eps", "0")]
    [InlineData("rms_norm_eps", "-1e-5")]
    [InlineData("rms_norm_eps", "2")]
    [InlineData("rms_norm_eps", "\"1e-5\"")]
    [InlineData("rope_theta", "0")]
    [InlineData("rope_theta", "-1")]
    [InlineData("rope_theta", "1e400")]
    [InlineData("rope_theta", "\"NaN\"")]
    [InlineData("tie_word_embeddings", "1")]
    [InlineData("tie_word_embeddings", "\"true\"")]
    [InlineData("bos_token_id", "-1")]
    [InlineData("bos_token_id", "512")]
    [InlineData("eos_token_id", "-1")]
    [InlineData("eos_token_id", "512")]
    [InlineData("eos_token_id", "2.5")]
    [InlineData("eos_token_id", "\"2\"")]
    [InlineData("eos_token_id", "[2,512]")]
    [InlineData("eos_token_id", "[[2]]")]
    [InlineData("eos_token_id", "[null]")]
    public void A_value_out_of_range_is_refused_by_name(string field, string value) => AssertRefused(ConfigText.With(field, value), field, "expected");

    [Theory]
    [InlineData("hidden_act", "\"gelu\"")]
    [InlineData("hidden_act", "7")]
    [InlineData("attention_bias", "true")]
    [InlineData("mlp_bias", "true")]
    [InlineData("model_type", "\"mistral\"")]
    [InlineData("model_type", "[\"llama\"]")]
    [InlineData("quantization_config", "{\"quant_method\":\"gptq\"}")]
    [InlineData("sliding_window", "128")]
    [InlineData("sliding_window", "0")]
    [InlineData("layer_types", "[\"full_attention\",\"sliding_attention\"]")]
    [InlineData("partial_rotary_factor", "0.5")]
    [InlineData("torch_dtype", "\"float8_e4m3fn\"")]
    [InlineData("torch_dtype", "\"float64\"")]
    [InlineData("dtype", "\"int8\"")]
    [InlineData("architectures", "\"LlamaForCausalLM\"")]
    public void A_field_that_changes_the_result_otherwise_is_refused_by_name(string field, string value) => AssertRefused(ConfigText.With(field, value), field, "expected");

    [Theory]
    [InlineData("sliding_window", "null")]
    [InlineData("sliding_window", "512")]
    [InlineData("attention_bias", "false")]
    [InlineData("mlp_bias", "null")]
    [InlineData("pretraining_tp", "2")]
    [InlineData("pad_token_id", "-1")]
    [InlineData("attention_dropout", "0.1")]
    [InlineData("layer_types", "[\"full_attention\"]")]
    [InlineData("partial_rotary_factor", "1.0")]
    [InlineData("quantization_config", "null")]
    [InlineData("rope_scaling", "null")]
    [InlineData("rope_scaling", "{}")]
    [InlineData("rope_scaling", "{\"type\":\"default\"}")]
    [InlineData("rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":10000.0}")]
    [InlineData("architectures", "[\"LLaMAForCausalLM\"]")]
    [InlineData("head_dim", "8")]
    [InlineData("some_new_field", "{\"deep\":[1,2,{}]}")]
    public void A_field_that_changes_nothing_is_accepted(string field, string value)
    {
        ModelConfig expected = Parse(ConfigText.Small);
        ModelConfig found = Parse(ConfigText.With(field, value));
        Assert.Equal(expected with { EndTokens = found.EndTokens }, found);
    }

    [Fact]
    public void A_sliding_window_that_is_switched_off_is_accepted()
    {
        string json = ConfigText.Small.Replace("{\"arch", "{\"use_sliding_window\": false, \"sliding_window\": 128, \"arch", StringComparison.Ordinal);
        Assert.Equal(64, Parse(json).HiddenSize);
    }

    [Fact]
    public void The_architecture_alone_will_do() => Assert.Equal(64, Parse(ConfigText.Without("model_type")).HiddenSize);

    [Fact]
    public void Neither_model_type_nor_architecture_is_refused() => AssertRefused(ConfigText.Without("model_type", "architectures"), "model_type is missing");

    [Fact]
    public void An_explicit_head_size_need_not_divide_the_hidden_size()
    {
        ModelConfig config = Parse(ConfigText.With("head_dim", "32"));
        Assert.Equal((256, 128), (config.QueryWidth, config.KeyValueWidth));
    }

    [Theory]
    [InlineData("bfloat16", TensorType.BFloat16)]
    [InlineData("float16", TensorType.Float16)]
    public void The_newer_dtype_counts_before_torch_dtype(string name, TensorType type) =>
        Assert.Equal(type, Parse(ConfigText.With("dtype", $"\"{name}\"")).DeclaredType);

    [Theory]
    [InlineData("rope_scaling", "{\"type\":\"linear\",\"factor\":4}")]
    [InlineData("rope_scaling", "{\"rope_type\":\"linear\",\"factor\":4.0}")]
    [InlineData("rope_scaling", "{\"rope_type\":\"linear\",\"type\":\"linear\",\"factor\":4.0}")]
    [InlineData("rope_parameters", "{\"rope_type\":\"linear\",\"factor\":4.0,\"rope_theta\":10000}")]
    public void Linear_rope_scaling_is_read_in_every_spelling(string field, string value) =>
        Assert.Equal(new RopeScaling(RopeScalingKind.Linear, 4), Parse(ConfigText.With(field, value)).RopeScaling);

    [Fact]
    public void Newer_rope_parameters_bring_their_theta()
    {
        string json = Encoding.UTF8.GetString(ConfigText.Without("rope_theta"))
            .Replace("{\"arch", "{\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500000},\"arch", StringComparison.Ordinal);
        Assert.Equal(500_000, Parse(json).RopeTheta);
    }

    [Theory]
    [InlineData("{\"type\":\"dynamic\",\"factor\":2}", "rope_scaling.type", "dynamic")]
    [InlineData("{\"rope_type\":\"yarn\",\"factor\":2}", "rope_scaling.rope_type", "yarn")]
    [InlineData("{\"rope_type\":\"longrope\"}", "rope_scaling.rope_type", "longrope")]
    [InlineData("{\"rope_type\":\"linear\",\"type\":\"dynamic\",\"factor\":2}", "rope_scaling.type", "rope_type")]
    [InlineData("{\"type\":\"linear\"}", "rope_scaling.factor", "has no")]
    [InlineData("{\"type\":\"linear\",\"factor\":0}", "rope_scaling.factor", "above 0")]
    [InlineData("{\"type\":\"linear\",\"factor\":\"4\"}", "rope_scaling.factor", "above 0")]
    [InlineData("{\"factor\":4}", "rope_scaling.rope_type", "is missing")]
    [InlineData("{\"type\":7}", "rope_scaling.type", "a string")]
    [InlineData("{\"rope_type\":\"llama3\",\"factor\":8}", "rope_scaling.low_freq_factor", "has no")]
    [InlineData("{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,\"original_max_position_embeddings\":512}", "rope_scaling.high_freq_factor", "at least 4.0")]
    [InlineData("{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4}", "rope_scaling.original_max_position_embeddings", "has no")]
    [InlineData("{\"rope_type\":\"default\",\"partial_rotary_factor\":0.25}", "rope_scaling.partial_rotary_factor", "expected 1")]
    [InlineData("\"linear\"", "rope_scaling", "an object")]
    [InlineData("[]", "rope_scaling", "an object")]
    public void Rope_scaling_that_is_not_known_or_not_whole_is_refused_by_name(string value, string field, string words) =>
        AssertRefused(ConfigText.With("rope_scaling", value), field, words);

    [Theory]
    [InlineData("rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":500000}")]
    [InlineData("rope_scaling", "{\"rope_type\":\"default\",\"rope_theta\":500000}")]
    public void Rope_thetas_that_disagree_are_refused(string field, string value) => AssertRefused(ConfigText.With(field, value), field, "both alike");

    [Fact]
    public void Rope_scalings_that_disagree_are_refused()
    {
        string json = ConfigText.Small.Replace(
            "{\"arch",
            "{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4},\"arch",
            StringComparison.Ordinal);
        AssertRefused(Encoding.UTF8.GetBytes(json), "rope_parameters", "both alike");
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"hidden_size\": NaN}")]
    [InlineData("{\"rope_theta\": Infinity}")]
    [InlineData("{\"a\":1} x")]
    [InlineData("\ufeff{}")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{\"model_type\":\"\\ud800\"}")]
    [InlineData("// x\n{}")]
    public void What_is_not_a_strict_JSON_object_is_refused(string json) => AssertRefused(Encoding.UTF8.GetBytes(json));

    [Fact]
    public void What_is_not_UTF8_is_refused() => AssertRefused([(byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)':', (byte)'1', (byte)'}'], "not UTF-8");

    [Theory]
    [InlineData("\"hidden_size\": 64, \"arch")]
    [InlineData("\"hidden_siz\\u0065\": 128, \"arch")]
    [InlineData("\"inner\": {\"a\":1,\"a\":2}, \"arch")]
    public void A_key_used_twice_is_refused(string more) =>
        AssertRefused(Encoding.UTF8.GetBytes(ConfigText.Small.Replace("\"arch", more, StringComparison.Ordinal)), "not valid JSON");

    [Fact]
    public void Deep_nesting_is_refused() => AssertRefused(Encoding.UTF8.GetBytes($"{{\"a\":{new string('[', 200)}{new string(']', 200)}}}"), "not valid JSON");

    [Fact]
    public void A_missing_file_a_folder_and_a_huge_file_are_refused()
    {
        using var folder = new ScratchFolder();
        Assert.Contains("no such file", Assert.Throws<ModelFormatException>(() => ModelConfig.Read(folder["config.json"])).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<ModelFormatException>(() => ModelConfig.Read(folder.Path)).Message, StringComparison.Ordinal);
        File.WriteAllText(folder["config.json"], ConfigText.Small + new string(' ', 1 << 20));
        Assert.Contains("at most 1,048,576", Assert.Throws<ModelFormatException>(() => ModelConfig.Read(folder["config.json"])).Message, StringComparison.Ordinal);
    }
}
