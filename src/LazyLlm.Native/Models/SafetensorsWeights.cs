using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>The weights of a Llama in one or more safetensors files, found by the names that Hugging Face checkpoints give them.</summary>
internal sealed class SafetensorsWeights : ModelWeights
{
    private const WeightRole FirstOfLayer = WeightRole.AttentionNorm;
    private const WeightRole LastOfLayer = WeightRole.Down;
    private const int RolesOfLayer = LastOfLayer - FirstOfLayer + 1;

    private readonly IReadOnlyList<SafetensorsFile> _files;
    private readonly SafetensorsWeight[] _layers;
    private readonly SafetensorsWeight _embedding;
    private readonly SafetensorsWeight _finalNorm;
    private readonly SafetensorsWeight _outputHead;

    /// <summary>Finds and checks every weight; reads none. The files are the new object's to close, unless this fails.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="files">The checkpoint's files.</param>
    /// <param name="source">Where a missing weight was looked for: the only file, the index, or the folder.</param>
    /// <exception cref="ModelFormatException">A weight is missing, in two files, or of another shape or format.</exception>
    public SafetensorsWeights(ModelConfig config, IReadOnlyList<SafetensorsFile> files, string source)
    {
        Config = config;
        _files = files;
        var finder = new Finder(config, source, Locate(files));
        _layers = new SafetensorsWeight[config.LayerCount * RolesOfLayer];
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            for (WeightRole role = FirstOfLayer; role <= LastOfLayer; role++)
            {
                _layers[IndexOf(role, layer)] = finder.Find(role, layer);
            }
        }

        _embedding = finder.Find(WeightRole.Embedding, 0);
        _finalNorm = finder.Find(WeightRole.FinalNorm, 0);

        // A head beside a tied embedding is a copy that some writers leave in; the embedding is what counts.
        _outputHead = config.TiedEmbeddings ? _embedding : finder.Find(WeightRole.OutputHead, 0);
        TotalBytes = finder.TotalBytes;
        ParameterCount = finder.ParameterCount;
        UnusedTensorCount = files.Sum(file => file.Tensors.Count) - finder.Count;
    }

    public override ModelConfig Config { get; }

    public override long TotalBytes { get; }

    /// <summary>Numbers in all weights, each counted once.</summary>
    public long ParameterCount { get; }

    /// <summary>Tensors in the files that are no weight of the model, such as buffers that other programs keep there.</summary>
    public int UnusedTensorCount { get; }

    public override WeightTensor this[WeightRole role, int layer = 0]
    {
        get
        {
            switch (role)
            {
                case WeightRole.Embedding:
                    return _embedding;
                case WeightRole.FinalNorm:
                    return _finalNorm;
                case WeightRole.OutputHead:
                    return _outputHead;
                default:
                    ArgumentOutOfRangeException.ThrowIfNegative((int)role, nameof(role));
                    ArgumentOutOfRangeException.ThrowIfGreaterThan((int)role, (int)WeightRole.OutputHead, nameof(role));
                    ArgumentOutOfRangeException.ThrowIfNegative(layer);
                    ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Config.LayerCount);
                    return _layers[IndexOf(role, layer)];
            }
        }
    }

    /// <summary>The name that checkpoints give a weight.</summary>
    public static string NameOf(WeightRole role, int layer) => role switch
    {
        WeightRole.Embedding => "model.embed_tokens.weight",
        WeightRole.AttentionNorm => $"model.layers.{layer}.input_layernorm.weight",
        WeightRole.Query => $"model.layers.{layer}.self_attn.q_proj.weight",
        WeightRole.Key => $"model.layers.{layer}.self_attn.k_proj.weight",
        WeightRole.Value => $"model.layers.{layer}.self_attn.v_proj.weight",
        WeightRole.AttentionOutput => $"model.layers.{layer}.self_attn.o_proj.weight",
        WeightRole.MlpNorm => $"model.layers.{layer}.post_attention_layernorm.weight",
        WeightRole.Gate => $"model.layers.{layer}.mlp.gate_proj.weight",
        WeightRole.Up => $"model.layers.{layer}.mlp.up_proj.weight",
        WeightRole.Down => $"model.layers.{layer}.mlp.down_proj.weight",
        WeightRole.FinalNorm => "model.norm.weight",
        WeightRole.OutputHead => "lm_head.weight",
        _ => throw new ArgumentOutOfRangeException(nameof(role)),
    };

    /// <summary>The shape of a weight; no rows for a vector.</summary>
    public static (int? Rows, int Columns) ShapeOf(WeightRole role, ModelConfig config) => role switch
    {
        WeightRole.Embedding or WeightRole.OutputHead => (config.VocabularySize, config.HiddenSize),
        WeightRole.AttentionNorm or WeightRole.MlpNorm or WeightRole.FinalNorm => (null, config.HiddenSize),
        WeightRole.Query => (config.QueryWidth, config.HiddenSize),
        WeightRole.Key or WeightRole.Value => (config.KeyValueWidth, config.HiddenSize),
        WeightRole.AttentionOutput => (config.HiddenSize, config.QueryWidth),
        WeightRole.Gate or WeightRole.Up => (config.IntermediateSize, config.HiddenSize),
        WeightRole.Down => (config.HiddenSize, config.IntermediateSize),
        _ => throw new ArgumentOutOfRangeException(nameof(role)),
    };

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            foreach (SafetensorsFile file in _files)
            {
                file.Dispose();
            }
        }

        base.Dispose(disposing);
    }

    private static int IndexOf(WeightRole role, int layer) => (layer * RolesOfLayer) + (role - FirstOfLayer);

    private static Dictionary<string, (SafetensorsFile File, SafetensorsTensor Tensor)> Locate(IReadOnlyList<SafetensorsFile> files)
    {
        var found = new Dictionary<string, (SafetensorsFile File, SafetensorsTensor Tensor)>();
        foreach (SafetensorsFile file in files)
        {
            foreach (SafetensorsTensor tensor in file.Tensors)
            {
                if (!found.TryAdd(tensor.Name, (file, tensor)))
                {
                    throw new ModelFormatException(
                        file.Path,
                        $"tensor {Excerpt.Quote(tensor.Name)} is also in {found[tensor.Name].File.Path}; expected it in one file.");
                }
            }
        }

        return found;
    }

    private sealed class Finder(ModelConfig config, string source, Dictionary<string, (SafetensorsFile File, SafetensorsTensor Tensor)> tensors)
    {
        public int Count { get; private set; }

        public long TotalBytes { get; private set; }

        public long ParameterCount { get; private set; }

        public SafetensorsWeight Find(WeightRole role, int layer)
        {
            string name = NameOf(role, layer);
            (int? rows, int columns) = ShapeOf(role, config);
            string shape = rows is null ? $"[{columns}]" : $"[{rows}, {columns}]";
            if (!tensors.TryGetValue(name, out var found))
            {
                string advice = role == WeightRole.OutputHead
                    ? " (config.json does not say tie_word_embeddings, which would take the embedding instead)"
                    : "";
                throw new ModelFormatException(source, $"has no tensor \"{name}\" of shape {shape}{advice}.");
            }

            (SafetensorsFile file, SafetensorsTensor tensor) = found;
            if (tensor.ShapeText != shape)
            {
                throw new ModelFormatException(file.Path, $"tensor \"{name}\" has shape {tensor.ShapeText}; expected {shape}, which config.json implies.");
            }

            TensorType type = tensor.DataType switch
            {
                "F32" => TensorType.Float32,
                "F16" => TensorType.Float16,
                "BF16" => TensorType.BFloat16,
                _ => throw new ModelFormatException(file.Path, $"tensor \"{name}\" has dtype {tensor.DataType}; expected F32, F16 or BF16."),
            };

            Count++;
            TotalBytes += tensor.Length;
            ParameterCount += (rows ?? 1) * (long)columns;
            return new SafetensorsWeight(file, tensor, type, rows ?? 1, columns);
        }
    }
}
