namespace LazyLlm.Native.Models;

/// <summary>
/// The shape and constants of a Llama model: what <c>config.json</c> says, checked, with defaults filled in.
/// Each property names the field that it comes from.
/// </summary>
public sealed record ModelConfig
{
    /// <summary>Width of the residual stream (<c>hidden_size</c>).</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the MLP between its two products (<c>intermediate_size</c>).</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of layers (<c>num_hidden_layers</c>).</summary>
    public required int LayerCount { get; init; }

    /// <summary>Query heads (<c>num_attention_heads</c>).</summary>
    public required int HeadCount { get; init; }

    /// <summary>Key and value heads (<c>num_key_value_heads</c>); each serves <see cref="HeadCount"/> / this many query heads (GQA).</summary>
    public required int KeyValueHeadCount { get; init; }

    /// <summary>Size of one head (<c>head_dim</c>, else hidden size / heads). Even.</summary>
    public required int HeadSize { get; init; }

    /// <summary>Rows of the embedding and of the output head (<c>vocab_size</c>).</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Longest sequence the model was made for (<c>max_position_embeddings</c>), in tokens.</summary>
    public required int ContextLength { get; init; }

    /// <summary>Added to the mean square in RMSNorm (<c>rms_norm_eps</c>).</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies (<c>rope_theta</c>).</summary>
    public required double RopeTheta { get; init; }

    /// <summary>Stretching of the rotary positions (<c>rope_scaling</c>).</summary>
    public RopeScaling RopeScaling { get; init; }

    /// <summary>Whether the output head is the embedding itself (<c>tie_word_embeddings</c>).</summary>
    public required bool TiedEmbeddings { get; init; }

    /// <summary>The 16-bit or 32-bit format that the checkpoint declares (<c>dtype</c> or <c>torch_dtype</c>; 32-bit if neither is there). Each weight has its own; see <see cref="WeightTensor.Type"/>.</summary>
    public required TensorType DeclaredType { get; init; }

    /// <summary>Token that opens a sequence (<c>bos_token_id</c>), if the file names one.</summary>
    public int? BeginToken { get; init; }

    /// <summary>Tokens that end a text (<c>eos_token_id</c>, one or many).</summary>
    public IReadOnlyList<int> EndTokens { get; init; } = [];

    /// <summary>Reads a <c>config.json</c>. Fields that change a result are honoured, or refused by name.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="Errors.ModelFormatException">The file is missing, damaged, or asks for what this engine does not compute.</exception>
    public static ModelConfig Read(string path) =>
        ModelConfigReader.Parse(path, RegularFile.ReadAll(path, ModelConfigReader.MaxFileLength));

    /// <summary>Width of the concatenated query heads.</summary>
    public int QueryWidth => HeadCount * HeadSize;

    /// <summary>Width of the concatenated key (or value) heads.</summary>
    public int KeyValueWidth => KeyValueHeadCount * HeadSize;
}
