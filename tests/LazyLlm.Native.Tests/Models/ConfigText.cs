using System.Text;
using System.Text.Json.Nodes;

namespace LazyLlm.Native.Tests.Models;

/// <summary>Texts of <c>config.json</c>: some that are published, and changes to a small valid one.</summary>
internal static class ConfigText
{
    public const string Small = """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 172,
         "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512,
         "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
         "tie_word_embeddings": true, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2}
        """;

    public const string Llama2With70BParameters = """
        {"_name_or_path": "meta-llama/Llama-2-70b-chat-hf", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1,
         "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 8192, "initializer_range": 0.02,
         "intermediate_size": 28672, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 64,
         "num_hidden_layers": 80, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
         "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "float16",
         "transformers_version": "4.31.0.dev0", "use_cache": true, "vocab_size": 32000}
        """;

    public const string Xgen7B8K = """
        {"architectures": ["LlamaForCausalLM"], "bos_token_id": 50256, "eos_token_id": 50256, "hidden_act": "silu",
         "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 8192,
         "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "pad_token_id": 0,
         "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "torch_dtype": "float32",
         "transformers_version": "4.30.0.dev0", "use_cache": true, "vocab_size": 51200}
        """;

    public const string Llama31With8BParameters = """
        {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
         "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
         "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
         "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
         "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256}
        """;

    /// <summary><see cref="Small"/> with one field set to a JSON value.</summary>
    public static byte[] With(string field, string json)
    {
        var root = (JsonObject)JsonNode.Parse(Small)!;
        root[field] = JsonNode.Parse(json);
        return Encoding.UTF8.GetBytes(root.ToJsonString());
    }

    /// <summary><see cref="Small"/> without some fields.</summary>
    public static byte[] Without(params string[] fields)
    {
        var root = (JsonObject)JsonNode.Parse(Small)!;
        foreach (string field in fields)
        {
            root.Remove(field);
        }

        return Encoding.UTF8.GetBytes(root.ToJsonString());
    }
}
