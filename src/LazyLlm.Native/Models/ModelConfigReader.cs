using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>
/// Turns a <c>config.json</c> into a <see cref="ModelConfig"/>. Every field that changes what a Llama computes is
/// honoured or refused by name. Fields that change nothing here are not looked at: those of training
/// (<c>initializer_range</c>, <c>attention_dropout</c>), of another program's memory (<c>use_cache</c>), and
/// <c>pretraining_tp</c>, which only cuts a product into parts and sums them again. Defaults of absent fields are those
/// of the Hugging Face <c>LlamaConfig</c>.
/// </summary>
internal static class ModelConfigReader
{
    /// <summary>Bytes that a <c>config.json</c> may have; real ones have a few thousand.</summary>
    public const int MaxFileLength = 1 << 20;

    private const int MaxWidth = 1 << 20;
    private const int MaxLayers = 1_024;
    private const int MaxHeads = 4_096;
    private const int MaxHeadSize = 256;
    private const int MaxVocabulary = 1 << 22;
    private const int MaxContext = 1 << 27;

    /// <summary>Reads and checks a configuration.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="json">Its content.</param>
    public static ModelConfig Parse(string path, ReadOnlyMemory<byte> json)
    {
        using JsonDocument document = JsonFields.Parse(path, json);
        JsonFields fields = JsonFields.Of(path, document);
        CheckArchitecture(fields);

        int hiddenSize = fields.RequiredInteger("hidden_size", 1, MaxWidth);
        int headCount = fields.RequiredInteger("num_attention_heads", 1, MaxHeads);
        int keyValueHeadCount = fields.Integer("num_key_value_heads", 1, MaxHeads) ?? headCount;
        if (headCount % keyValueHeadCount != 0)
        {
            fields.Refuse("num_key_value_heads", $"a divisor of num_attention_heads, {headCount}");
        }

        int vocabularySize = fields.RequiredInteger("vocab_size", 1, MaxVocabulary);
        int contextLength = fields.Integer("max_position_embeddings", 1, MaxContext) ?? 2_048;
        CheckWindow(fields, contextLength);
        (RopeScaling scaling, double theta) = ReadRope(path, fields);
        return new ModelConfig
        {
            HiddenSize = hiddenSize,
            IntermediateSize = fields.RequiredInteger("intermediate_size", 1, MaxWidth),
            LayerCount = fields.RequiredInteger("num_hidden_layers", 1, MaxLayers),
            HeadCount = headCount,
            KeyValueHeadCount = keyValueHeadCount,
            HeadSize = ReadHeadSize(fields, hiddenSize, headCount),
            VocabularySize = vocabularySize,
            ContextLength = contextLength,
            NormEpsilon = fields.Number("rms_norm_eps", double.Epsilon, 1) ?? 1e-6,
            RopeTheta = theta,
            RopeScaling = scaling,
            TiedEmbeddings = fields.Flag("tie_word_embeddings") ?? false,
            DeclaredType = ReadDeclaredType(fields),
            BeginToken = fields.Integer("bos_token_id", 0, vocabularySize - 1),
            EndTokens = fields.Tokens("eos_token_id", vocabularySize) ?? [],
        };
    }

    private static void CheckArchitecture(JsonFields fields)
    {
        string? modelType = fields.Text("model_type");
        string[] architectures = fields.Texts("architectures") ?? [];
        if (modelType is not null && modelType != "llama")
        {
            fields.Refuse("model_type", "\"llama\", the only architecture that this engine computes");
        }

        if (modelType is null && !architectures.Contains("LlamaForCausalLM"))
        {
            fields.Refuse("model_type", "\"llama\", or LlamaForCausalLM among the architectures");
        }

        if (fields.Text("hidden_act") is not (null or "silu"))
        {
            fields.Refuse("hidden_act", "\"silu\", the only activation that this engine computes");
        }

        RefuseFlag(fields, "attention_bias");
        RefuseFlag(fields, "mlp_bias");
        if (fields.Has("quantization_config"))
        {
            fields.Refuse("quantization_config", "none: this engine reads F32, F16 and BF16 weights");
        }
    }

    private static void RefuseFlag(JsonFields fields, string name)
    {
        if (fields.Flag(name) == true)
        {
            fields.Refuse(name, "false: this engine's projections have no bias");
        }
    }

    /// <summary>Every query here sees every earlier position; a window that says otherwise is refused.</summary>
    private static void CheckWindow(JsonFields fields, int contextLength)
    {
        // A window that is switched off, or that spans the whole context, hides nothing.
        bool hides = fields.Flag("use_sliding_window") != false
            && fields.Integer("sliding_window", 1, int.MaxValue) is int window && window < contextLength;
        if (hides)
        {
            fields.Refuse("sliding_window", $"null, or at least max_position_embeddings, {contextLength}: this engine attends to every earlier position");
        }

        if (fields.Texts("layer_types") is string[] types && types.Any(type => type != "full_attention"))
        {
            fields.Refuse("layer_types", "\"full_attention\" for every layer");
        }
    }

    private static int ReadHeadSize(JsonFields fields, int hiddenSize, int headCount)
    {
        if (fields.Integer("head_dim", 1, MaxHeadSize) is int given)
        {
            if (given % 2 != 0)
            {
                fields.Refuse("head_dim", "an even number: rotary embeddings turn pairs");
            }

            return given;
        }

        if (hiddenSize % headCount != 0 || hiddenSize / headCount % 2 != 0 || hiddenSize / headCount > MaxHeadSize)
        {
            fields.Refuse("num_attention_heads", $"a number that cuts hidden_size, {hiddenSize}, into heads of an even size up to {MaxHeadSize} (there is no head_dim)");
        }

        return hiddenSize / headCount;
    }

    /// <summary>
    /// Rotary constants: <c>rope_theta</c> and <c>rope_scaling</c>, or the newer <c>rope_parameters</c> that holds both.
    /// A file may use both spellings as long as they agree.
    /// </summary>
    private static (RopeScaling Scaling, double Theta) ReadRope(string path, JsonFields fields)
    {
        RefusePartialRotation(fields);
        double? theta = fields.Number("rope_theta", double.Epsilon, double.MaxValue);
        RopeScaling? scaling = null;
        foreach (string spelling in new[] { "rope_scaling", "rope_parameters" })
        {
            if (fields.Object(spelling) is not JsonFields rope)
            {
                continue;
            }

            RopeScaling itsScaling = ReadScaling(rope);
            double? itsTheta = rope.Number("rope_theta", double.Epsilon, double.MaxValue) ?? theta;
            if ((scaling ?? itsScaling) != itsScaling || (theta ?? itsTheta) != itsTheta)
            {
                throw new ModelFormatException(path, $"{spelling} says other than rope_scaling or rope_theta; expected one of them, or both alike.");
            }

            (scaling, theta) = (itsScaling, itsTheta);
        }

        return (scaling ?? default, theta ?? 10_000);
    }

    private static RopeScaling ReadScaling(JsonFields fields)
    {
        RefusePartialRotation(fields);
        string? type = fields.Text("rope_type");
        string? olderSpelling = fields.Text("type");
        if (type is not null && olderSpelling is not null && type != olderSpelling)
        {
            fields.Refuse("type", $"the same as rope_type, {Excerpt.Quote(type)}");
        }

        switch (type ?? olderSpelling)
        {
            case null when fields.Has("factor"):
                fields.Refuse("rope_type", "\"linear\" or \"llama3\" beside a factor");
                return default;
            case null or "default":
                return default;
            case "linear":
                return new RopeScaling(RopeScalingKind.Linear, Factor(fields));
            case "llama3":
                double low = fields.RequiredNumber("low_freq_factor", double.Epsilon, double.MaxValue);
                return new RopeScaling(
                    RopeScalingKind.Llama3,
                    Factor(fields),
                    low,
                    // Above the low one: the step between the two divides by their difference.
                    fields.RequiredNumber("high_freq_factor", Math.BitIncrement(low), double.MaxValue),
                    fields.RequiredInteger("original_max_position_embeddings", 1, MaxContext));
            default:
                fields.Refuse(type is null ? "type" : "rope_type", "\"default\", \"linear\" or \"llama3\"");
                return default;
        }

        static double Factor(JsonFields fields) => fields.RequiredNumber("factor", double.Epsilon, 1e6);
    }

    private static void RefusePartialRotation(JsonFields fields)
    {
        if (fields.Number("partial_rotary_factor", double.Epsilon, 1) is < 1)
        {
            fields.Refuse("partial_rotary_factor", "1: this engine rotates whole heads");
        }
    }

    private static TensorType ReadDeclaredType(JsonFields fields)
    {
        string name = fields.Has("dtype") ? "dtype" : "torch_dtype";
        switch (fields.Text(name))
        {
            case null or "float32":
                return TensorType.Float32;
            case "float16":
                return TensorType.Float16;
            case "bfloat16":
                return TensorType.BFloat16;
            default:
                fields.Refuse(name, "\"float32\", \"float16\" or \"bfloat16\"");
                return default;
        }
    }
}
