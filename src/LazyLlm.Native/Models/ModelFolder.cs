using System.Security.Cryptography;
using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>
/// A model in the Hugging Face layout: <c>config.json</c>, perhaps <c>generation_config.json</c>, the weights in
/// <c>model.safetensors</c> or in the shards of <c>model.safetensors.index.json</c> (the single file counts if both are
/// there, as in Hugging Face Transformers), perhaps the tokenizer's files. Opening reads and checks everything but the
/// weights' numbers; nothing outside the folder is read, links in it are followed.
/// </summary>
public sealed class ModelFolder : IDisposable
{
    private const string ConfigName = "config.json";
    private const string GenerationName = "generation_config.json";
    private const string WeightsName = "model.safetensors";

    private ModelFolder(string path, ModelConfig config, GenerationDefaults generation, SafetensorsWeights weights, IReadOnlyList<SafetensorsFile> files, string identity)
    {
        Path = path;
        Config = config;
        Generation = generation;
        Weights = weights;
        ParameterCount = weights.ParameterCount;
        UnusedTensorCount = weights.UnusedTensorCount;
        Identity = identity;
        TokenizerFiles = TokenizerFiles.Find(path);
        Tensors = [.. files.SelectMany(file => file.Tensors.Select(
            tensor => new TensorInfo(tensor.Name, tensor.DataType, tensor.Shape, file.Path, tensor.Length)))];
    }

    /// <summary>Stands in for the folder of weights that came from none.</summary>
    private ModelFolder(ModelWeights weights)
    {
        Path = weights.Source;
        Config = weights.Config;
        Generation = new GenerationDefaults();
        Weights = weights;
        ParameterCount = CountParameters(weights);
        Identity = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(weights.Config.ToString())));
        TokenizerFiles = new TokenizerFiles();
        Tensors = [];
    }

    /// <summary>The folder, as a full path; for weights that came from none, words in brackets.</summary>
    public string Path { get; }

    /// <summary>The folder's own name: the model's name where nobody gives it another.</summary>
    public string Name => System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(Path));

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>What the model's makers advise for generation.</summary>
    public GenerationDefaults Generation { get; }

    /// <summary>Tokens that end a text: those of <c>generation_config.json</c> if it names any, else those of <c>config.json</c>.</summary>
    public IReadOnlyList<int> EndTokens => Generation.EndTokens ?? Config.EndTokens;

    /// <summary>The weights. They read from files that this folder closes.</summary>
    public ModelWeights Weights { get; }

    /// <summary>The tokenizer's files, as far as they exist.</summary>
    public TokenizerFiles TokenizerFiles { get; }

    /// <summary>Every tensor of the checkpoint, in file order, whether the model uses it or not.</summary>
    public IReadOnlyList<TensorInfo> Tensors { get; }

    /// <summary>Numbers in the model's weights; a tied embedding counts once.</summary>
    public long ParameterCount { get; }

    /// <summary>How many of <see cref="Tensors"/> are no weight of the model.</summary>
    public int UnusedTensorCount { get; }

    /// <summary>
    /// SHA-256, in hexadecimal, over <c>config.json</c> and each weight file's name, length and header. It tells reports of
    /// different models apart without reading the weights, so it does not tell two trainings of one shape apart.
    /// </summary>
    public string Identity { get; }

    /// <summary>Opens a model folder.</summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="ModelFormatException">A file is missing, damaged or not supported.</exception>
    public static ModelFolder Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!Directory.Exists(path))
        {
            throw new ModelFormatException(path, $"no such folder; expected one with {ConfigName} and {WeightsName}.");
        }

        path = System.IO.Path.GetFullPath(path);
        string configPath = System.IO.Path.Combine(path, ConfigName);
        byte[] configBytes = RegularFile.ReadAll(configPath, ModelConfigReader.MaxFileLength);
        ModelConfig config = ModelConfigReader.Parse(configPath, configBytes);
        GenerationDefaults generation = GenerationDefaults.Read(System.IO.Path.Combine(path, GenerationName), config.VocabularySize);

        var files = new List<SafetensorsFile>();
        try
        {
            string source = OpenFiles(path, files);
            var weights = new SafetensorsWeights(config, files, source);
            return new ModelFolder(path, config, generation, weights, files, IdentityOf(configBytes, files));
        }
        catch
        {
            files.ForEach(file => file.Dispose());
            throw;
        }
    }

    /// <summary>Closes the files.</summary>
    public void Dispose() => Weights.Dispose();

    /// <summary>What an engine knows of weights that came from no folder.</summary>
    internal static ModelFolder WithoutFiles(ModelWeights weights) => new(weights);

    private static long CountParameters(ModelWeights weights)
    {
        long count = 0;
        for (WeightRole role = WeightRole.Embedding; role <= WeightRole.OutputHead; role++)
        {
            bool isOfLayer = role is >= WeightRole.AttentionNorm and <= WeightRole.Down;
            bool isCounted = role == WeightRole.OutputHead && weights.Config.TiedEmbeddings;
            WeightTensor tensor = weights[role];
            count += isCounted ? 0 : (long)tensor.Rows * tensor.Columns * (isOfLayer ? weights.Config.LayerCount : 1);
        }

        return count;
    }

    /// <summary>Opens the checkpoint's files into <paramref name="files"/>; returns the one that says what the checkpoint holds.</summary>
    private static string OpenFiles(string folder, List<SafetensorsFile> files)
    {
        string single = System.IO.Path.Combine(folder, WeightsName);
        string index = System.IO.Path.Combine(folder, ShardIndex.FileName);
        if (System.IO.Path.Exists(single))
        {
            files.Add(SafetensorsFile.Open(single));
            return single;
        }

        if (!System.IO.Path.Exists(index))
        {
            throw new ModelFormatException(folder, $"has neither {WeightsName} nor {ShardIndex.FileName}. Weights in other formats must be converted to safetensors first.");
        }

        foreach ((string name, List<string> tensors) in ShardIndex.Parse(index, RegularFile.ReadAll(index, ShardIndex.MaxFileLength)))
        {
            SafetensorsFile shard = SafetensorsFile.Open(System.IO.Path.Combine(folder, name));
            files.Add(shard);
            var held = shard.Tensors.Select(tensor => tensor.Name).ToHashSet();
            if (tensors.Find(tensor => !held.Contains(tensor)) is string missing)
            {
                throw new ModelFormatException(shard.Path, $"has no tensor {Excerpt.Quote(missing)}, which {ShardIndex.FileName} places in it.");
            }
        }

        return index;
    }

    private static string IdentityOf(byte[] config, IReadOnlyList<SafetensorsFile> files)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(SHA256.HashData(config));
        foreach (SafetensorsFile file in files)
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{System.IO.Path.GetFileName(file.Path)}\0{file.Length}\0"));
            hash.AppendData(file.HeaderDigest);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
