using System.Runtime.InteropServices;
using System.Text.Json;
using LazyLlm.Native.Models;

namespace LazyLlm.Testing;

/// <summary>
/// Writes model folders with seeded random weights, of any shape and number format, with the statistics of the golden
/// models: rows and heads neither die out nor saturate over the layers. Streams, so that large ones need little memory.
/// </summary>
internal static class RandomModel
{
    private const int ChunkLength = 1 << 14;

    /// <summary>A configuration to write; change what else matters by <c>with</c>.</summary>
    public static ModelConfig Shape(
        int hiddenSize = 64,
        int layerCount = 4,
        int headCount = 4,
        int? keyValueHeadCount = null,
        int? headSize = null,
        int intermediateSize = 172,
        int vocabularySize = 160,
        int contextLength = 2_048,
        TensorType type = TensorType.Float32,
        bool tiedEmbeddings = false) => new()
        {
            HiddenSize = hiddenSize,
            IntermediateSize = intermediateSize,
            LayerCount = layerCount,
            HeadCount = headCount,
            KeyValueHeadCount = keyValueHeadCount ?? headCount,
            HeadSize = headSize ?? hiddenSize / headCount,
            VocabularySize = vocabularySize,
            ContextLength = contextLength,
            NormEpsilon = 1e-5,
            RopeTheta = 10_000,
            TiedEmbeddings = tiedEmbeddings,
            DeclaredType = type,
            BeginToken = 1,
            EndTokens = [2],
        };

    /// <summary>Writes <c>config.json</c> and the weights, all in <see cref="ModelConfig.DeclaredType"/>, into a folder.</summary>
    /// <param name="folder">The folder; made if need be.</param>
    /// <param name="config">The model's shape.</param>
    /// <param name="seed">Equal seeds and shapes give equal files.</param>
    /// <param name="shardCount">1 for <c>model.safetensors</c>; more for that many shards and their index.</param>
    public static void Write(string folder, ModelConfig config, int seed = 1, int shardCount = 1)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllBytes(Path.Combine(folder, "config.json"), ConfigJson(config));
        (string Name, int[] Shape, float Mean, float Deviation)[] tensors = [.. Tensors(config)];
        var shards = new Dictionary<string, SafetensorsWriter>();
        var shardOf = new Dictionary<string, string>();
        for (int i = 0; i < tensors.Length; i++)
        {
            (string name, int[] shape, float mean, float deviation) = tensors[i];
            string shard = shardCount == 1 ? "model.safetensors" : $"model-{(i * shardCount / tensors.Length) + 1:d5}-of-{shardCount:d5}.safetensors";
            shardOf[name] = shard;
            if (!shards.TryGetValue(shard, out SafetensorsWriter? writer))
            {
                shards[shard] = writer = new SafetensorsWriter();
            }

            ulong stream = Mix(((ulong)seed << 32) + (ulong)i);
            writer.Add(name, config.DeclaredType, shape, data => WriteNormal(data, config.DeclaredType, shape, mean, deviation, stream));
        }

        foreach ((string name, SafetensorsWriter writer) in shards)
        {
            writer.Save(Path.Combine(folder, name));
        }

        if (shardCount > 1)
        {
            File.WriteAllBytes(Path.Combine(folder, "model.safetensors.index.json"), IndexJson(shardOf));
        }
    }

    /// <summary>A <c>config.json</c> that reads as <paramref name="config"/>.</summary>
    public static byte[] ConfigJson(ModelConfig config) => Json(json =>
    {
        json.WriteStartArray("architectures");
        json.WriteStringValue("LlamaForCausalLM");
        json.WriteEndArray();
        json.WriteString("model_type", "llama");
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("num_hidden_layers", config.LayerCount);
        json.WriteNumber("num_attention_heads", config.HeadCount);
        json.WriteNumber("num_key_value_heads", config.KeyValueHeadCount);
        json.WriteNumber("head_dim", config.HeadSize);
        json.WriteNumber("vocab_size", config.VocabularySize);
        json.WriteNumber("max_position_embeddings", config.ContextLength);
        json.WriteNumber("rms_norm_eps", config.NormEpsilon);
        json.WriteNumber("rope_theta", config.RopeTheta);
        if (config.RopeScaling is { Kind: not RopeScalingKind.None } scaling)
        {
            json.WriteStartObject("rope_scaling");
            json.WriteString("rope_type", scaling.Kind == RopeScalingKind.Linear ? "linear" : "llama3");
            json.WriteNumber("factor", scaling.Factor);
            if (scaling.Kind == RopeScalingKind.Llama3)
            {
                json.WriteNumber("low_freq_factor", scaling.LowFrequencyFactor);
                json.WriteNumber("high_freq_factor", scaling.HighFrequencyFactor);
                json.WriteNumber("original_max_position_embeddings", scaling.OriginalContextLength);
            }

            json.WriteEndObject();
        }

        json.WriteString("hidden_act", "silu");
        json.WriteBoolean("tie_word_embeddings", config.TiedEmbeddings);
        json.WriteString("torch_dtype", config.DeclaredType switch
        {
            TensorType.Float32 => "float32",
            TensorType.Float16 => "float16",
            _ => "bfloat16",
        });
        if (config.BeginToken is int begin)
        {
            json.WriteNumber("bos_token_id", begin);
        }

        json.WriteStartArray("eos_token_id");
        foreach (int token in config.EndTokens)
        {
            json.WriteNumberValue(token);
        }

        json.WriteEndArray();
    });

    private static IEnumerable<(string Name, int[] Shape, float Mean, float Deviation)> Tensors(ModelConfig config)
    {
        yield return Tensor(WeightRole.Embedding, 0);
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            for (WeightRole role = WeightRole.AttentionNorm; role <= WeightRole.Down; role++)
            {
                yield return Tensor(role, layer);
            }
        }

        yield return Tensor(WeightRole.FinalNorm, 0);
        if (!config.TiedEmbeddings)
        {
            yield return Tensor(WeightRole.OutputHead, 0);
        }

        (string Name, int[] Shape, float Mean, float Deviation) Tensor(WeightRole role, int layer)
        {
            (int? rows, int columns) = SafetensorsWeights.ShapeOf(role, config);
            float width = MathF.Sqrt(role == WeightRole.Down ? config.IntermediateSize : config.HiddenSize);
            (float mean, float deviation) = role switch
            {
                WeightRole.Embedding => (0f, 1f),
                WeightRole.AttentionNorm or WeightRole.MlpNorm or WeightRole.FinalNorm => (1f, 0.1f),
                WeightRole.Query or WeightRole.Key => (0f, 1.6f / width),
                _ => (0f, 1 / width),
            };
            return (SafetensorsWeights.NameOf(role, layer), rows is int count ? [count, columns] : [columns], mean, deviation);
        }
    }

    private static void WriteNormal(Stream data, TensorType type, int[] shape, float mean, float deviation, ulong stream)
    {
        // The sum of four 16-bit uniform numbers is near enough to normal for weights, and fast.
        float scale = deviation / (float)Math.Sqrt(((65_536.0 * 65_536.0) - 1) / 3);
        var numbers = new float[ChunkLength];
        var halves = new ushort[ChunkLength];
        long left = shape.Aggregate(1L, (product, size) => product * size);
        while (left > 0)
        {
            int count = (int)Math.Min(left, ChunkLength);
            for (int i = 0; i < count; i++)
            {
                ulong bits = Mix(++stream);
                int sum = (int)((bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48));
                numbers[i] = mean + ((sum - 131_070) * scale);
            }

            if (type == TensorType.Float32)
            {
                data.Write(MemoryMarshal.AsBytes(numbers.AsSpan(0, count)));
            }
            else
            {
                Narrow(type, numbers.AsSpan(0, count), halves);
                data.Write(MemoryMarshal.AsBytes(halves.AsSpan(0, count)));
            }

            left -= count;
        }
    }

    private static void Narrow(TensorType type, ReadOnlySpan<float> numbers, Span<ushort> halves)
    {
        for (int i = 0; i < numbers.Length; i++)
        {
            if (type == TensorType.Float16)
            {
                halves[i] = BitConverter.HalfToUInt16Bits((Half)numbers[i]);
            }
            else
            {
                // To the nearest, ties to even.
                uint bits = BitConverter.SingleToUInt32Bits(numbers[i]);
                halves[i] = (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
            }
        }
    }

    /// <summary>SplitMix64: turns successive numbers into independent ones.</summary>
    private static ulong Mix(ulong value)
    {
        value *= 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }

    private static byte[] IndexJson(Dictionary<string, string> shardOf) => Json(json =>
    {
        json.WriteStartObject("weight_map");
        foreach ((string name, string shard) in shardOf)
        {
            json.WriteString(name, shard);
        }

        json.WriteEndObject();
    });

    private static byte[] Json(Action<Utf8JsonWriter> write)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return bytes.ToArray();
    }
}
