using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public sealed class ModelFolderTests : IDisposable
{
    private const string SingleFile = "model.safetensors";
    private const string IndexFile = "model.safetensors.index.json";
    private static readonly ModelConfig Config = RandomModel.Shape(hiddenSize: 16, layerCount: 2, headCount: 4, keyValueHeadCount: 2, intermediateSize: 24, vocabularySize: 10);
    private static readonly ModelConfig Tied = Config with { TiedEmbeddings = true };
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_folder_that_is_not_there_is_refused()
    {
        Assert.Contains("no such folder", Refused(_folder["gone"]).Message, StringComparison.Ordinal);
        Assert.Contains("no such folder", Refused("a\0b").Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => ModelFolder.Open(""));
    }

    [Fact]
    public void An_empty_folder_lacks_its_config() => Assert.Equal(_folder["config.json"], Refused().Path);

    [Fact]
    public void A_folder_without_weights_says_what_it_looked_for()
    {
        File.WriteAllBytes(_folder["config.json"], RandomModel.ConfigJson(Config));
        File.WriteAllText(_folder["pytorch_model.bin"], "");
        AssertRefused(_folder.Path, SingleFile, IndexFile, "converted to safetensors");
    }

    [Fact]
    public void Every_tensor_is_listed_and_every_parameter_counted_once()
    {
        RandomModel.Write(_folder.Path, Tied);
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal(20, folder.Tensors.Count);
        Assert.Equal(0, folder.UnusedTensorCount);
        Assert.Equal(folder.Tensors.Sum(tensor => tensor.ByteLength) / 4, folder.ParameterCount);
        TensorInfo down = folder.Tensors.Single(tensor => tensor.Name == "model.layers.1.mlp.down_proj.weight");
        Assert.Equal(("F32", _folder[SingleFile], 16L * 24 * 4), (down.DataType, down.File, down.ByteLength));
        Assert.Equal([16UL, 24UL], down.Shape);
    }

    [Theory]
    [InlineData("lm_head.weight", "[10, 16]", "tie_word_embeddings")]
    [InlineData("model.embed_tokens.weight", "[10, 16]", "")]
    [InlineData("model.norm.weight", "[16]", "")]
    [InlineData("model.layers.1.self_attn.k_proj.weight", "[8, 16]", "")]
    public void A_missing_weight_is_named_with_its_shape(string name, string shape, string words)
    {
        Write(Config, except: name);
        AssertRefused(_folder[SingleFile], $"no tensor \"{name}\" of shape {shape}", words);
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.q_proj.weight", new[] { 12, 16 }, "[16, 16]")]
    [InlineData("model.layers.0.mlp.down_proj.weight", new[] { 24, 16 }, "[16, 24]")]
    [InlineData("model.embed_tokens.weight", new[] { 11, 16 }, "[10, 16]")]
    [InlineData("model.norm.weight", new[] { 1, 16 }, "[16]")]
    [InlineData("model.norm.weight", new int[0], "[16]")]
    [InlineData("model.layers.0.self_attn.v_proj.weight", new[] { 0, 16 }, "[8, 16]")]
    public void A_weight_of_another_shape_is_refused_with_both_shapes(string name, int[] shape, string expected)
    {
        Write(Config, except: name, writer => writer.Add(name, TensorType.Float32, shape, Zeros(shape, 4)));
        AssertRefused(_folder[SingleFile], $"\"{name}\" has shape [{string.Join(", ", shape)}]; expected {expected}");
    }

    [Theory]
    [InlineData("F64", 8)]
    [InlineData("I32", 4)]
    [InlineData("F8_E4M3", 1)]
    public void A_weight_of_another_format_is_refused(string dataType, int size)
    {
        Write(Config, except: "model.norm.weight");
        byte[] file = File.ReadAllBytes(_folder[SingleFile]);
        int headerLength = (int)BitConverter.ToUInt64(file);
        string header = Encoding.UTF8.GetString(file, 8, headerLength).TrimEnd(' ', '}');
        int data = file.Length - 8 - headerLength;
        string norm = SafetensorsBytes.Tensor("model.norm.weight", dataType, "[16]", (ulong)data, (ulong)(data + (16 * size)));
        File.WriteAllBytes(_folder[SingleFile], SafetensorsBytes.FileWith($"{header}}},{norm}}}", data + (16 * size)));
        AssertRefused(_folder[SingleFile], $"\"model.norm.weight\" has dtype {dataType}; expected F32, F16 or BF16");
    }

    [Fact]
    public void Formats_may_differ_from_weight_to_weight()
    {
        Write(Config, except: "model.norm.weight", writer => writer.Add("model.norm.weight", TensorType.Float16, [16], Zeros([16], 2)));
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal(TensorType.Float16, folder.Weights[WeightRole.FinalNorm].Type);
        Assert.Equal(TensorType.Float32, folder.Weights[WeightRole.Query].Type);
    }

    [Fact]
    public void Numbers_that_are_not_finite_are_left_for_the_arithmetic()
    {
        float[] numbers = [float.NaN, float.PositiveInfinity, .. new float[14]];
        Write(Config, except: "model.norm.weight", writer => writer.Add("model.norm.weight", TensorType.Float32, [16], stream => stream.Write(MemoryMarshal.AsBytes<float>(numbers))));
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        byte[] read = new byte[64];
        folder.Weights[WeightRole.FinalNorm].Read(0, read);
        Assert.Equal(numbers, Numbers.Of(TensorType.Float32, read));
    }

    [Fact]
    public void Tensors_of_no_role_are_counted()
    {
        Write(Config, except: null, writer =>
        {
            writer.Add("model.layers.0.self_attn.rotary_emb.inv_freq", TensorType.Float32, [2], Zeros([2], 4));
            writer.Add("model.layers.2.input_layernorm.weight", TensorType.Float32, [16], Zeros([16], 4));
        });
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal(2, folder.UnusedTensorCount);
        Assert.Equal(folder.Tensors.Sum(tensor => tensor.ByteLength) - 8 - 64, folder.Weights.TotalBytes);
    }

    [Fact]
    public void A_head_beside_a_tied_embedding_is_not_used()
    {
        Write(Config, except: null);
        File.WriteAllBytes(_folder["config.json"], RandomModel.ConfigJson(Tied));
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal("model.embed_tokens.weight", folder.Weights[WeightRole.OutputHead].Name);
        Assert.Equal(1, folder.UnusedTensorCount);
    }

    [Fact]
    public void A_role_or_layer_that_is_not_there_is_misuse()
    {
        RandomModel.Write(_folder.Path, Config);
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Throws<ArgumentOutOfRangeException>(() => folder.Weights[WeightRole.Query, 2]);
        Assert.Throws<ArgumentOutOfRangeException>(() => folder.Weights[WeightRole.Query, -1]);
        Assert.Throws<ArgumentOutOfRangeException>(() => folder.Weights[(WeightRole)99]);
        Assert.Throws<ArgumentOutOfRangeException>(() => folder.Weights[(WeightRole)(-1)]);
        Assert.Equal("model.layers.1.mlp.down_proj.weight", folder.Weights[WeightRole.Down, 1].Name);
    }

    [Fact]
    public void A_closed_folder_reads_no_more()
    {
        RandomModel.Write(_folder.Path, Config);
        ModelFolder folder = ModelFolder.Open(_folder.Path);
        folder.Dispose();
        folder.Dispose();
        Assert.Throws<ObjectDisposedException>(() => folder.Weights[WeightRole.FinalNorm].Read(0, new byte[4]));
    }

    [Fact]
    public void Shards_give_the_weights_of_the_single_file()
    {
        RandomModel.Write(_folder["one"], Config, seed: 3);
        RandomModel.Write(_folder["four"], Config, seed: 3, shardCount: 4);
        using ModelFolder one = ModelFolder.Open(_folder["one"]);
        using ModelFolder four = ModelFolder.Open(_folder["four"]);
        Assert.Equal(4, four.Tensors.Select(tensor => tensor.File).Distinct().Count());
        Assert.Equal(one.Weights.TotalBytes, four.Weights.TotalBytes);
        Assert.NotEqual(one.Identity, four.Identity);
        foreach (WeightRole role in Enum.GetValues<WeightRole>())
        {
            Assert.Equal(ReadAll(one.Weights[role, 1]), ReadAll(four.Weights[role, 1]));
        }
    }

    [Fact]
    public void The_single_file_counts_where_there_is_an_index_too()
    {
        RandomModel.Write(_folder.Path, Config);
        File.WriteAllText(_folder[IndexFile], "not even JSON");
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.All(folder.Tensors, tensor => Assert.Equal(_folder[SingleFile], tensor.File));
    }

    [Fact]
    public void Linked_shards_are_followed_out_of_the_folder()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows lets few users make links.");
        RandomModel.Write(_folder["blobs"], Config, shardCount: 2);
        Directory.CreateDirectory(_folder["snapshot"]);
        foreach (string file in Directory.GetFiles(_folder["blobs"]))
        {
            string name = Path.GetFileName(file);
            File.CreateSymbolicLink(Path.Combine(_folder["snapshot"], name), Path.Combine("..", "blobs", name));
        }

        using ModelFolder folder = ModelFolder.Open(_folder["snapshot"]);
        Assert.Equal(16, ReadAll(folder.Weights[WeightRole.FinalNorm]).Length / 4);
    }

    [Fact]
    public void A_shard_that_is_not_there_is_refused()
    {
        RandomModel.Write(_folder.Path, Config, shardCount: 2);
        File.Delete(_folder["model-00002-of-00002.safetensors"]);
        AssertRefused(_folder["model-00002-of-00002.safetensors"], "no such file");
    }

    [Fact]
    public void A_shard_that_is_a_folder_is_refused()
    {
        RandomModel.Write(_folder.Path, Config, shardCount: 2);
        File.Delete(_folder["model-00001-of-00002.safetensors"]);
        Directory.CreateDirectory(_folder["model-00001-of-00002.safetensors"]);
        AssertRefused(_folder["model-00001-of-00002.safetensors"], "is a folder");
    }

    [Fact]
    public void A_tensor_that_is_not_in_its_shard_is_refused()
    {
        RandomModel.Write(_folder.Path, Config, shardCount: 2);
        string index = File.ReadAllText(_folder[IndexFile]).Replace("\"model.norm.weight\": \"model-00002", "\"model.norm.weight\": \"model-00001", StringComparison.Ordinal);
        File.WriteAllText(_folder[IndexFile], index);
        AssertRefused(_folder["model-00001-of-00002.safetensors"], "\"model.norm.weight\"", "places in it");
    }

    [Fact]
    public void A_tensor_in_two_shards_is_refused()
    {
        RandomModel.Write(_folder.Path, Config, shardCount: 2);
        File.Copy(_folder["model-00001-of-00002.safetensors"], _folder["copy.safetensors"]);
        string index = File.ReadAllText(_folder[IndexFile]).Replace("\"model.embed_tokens.weight\": \"model-00001-of-00002", "\"model.embed_tokens.weight\": \"copy", StringComparison.Ordinal);
        File.WriteAllText(_folder[IndexFile], index);
        Assert.Contains("is also in", Refused().Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_that_the_index_leaves_out_is_missed_from_the_index()
    {
        RandomModel.Write(_folder.Path, Config, shardCount: 2);
        File.WriteAllText(_folder[IndexFile], "{\"weight_map\":{}}");
        AssertRefused(_folder[IndexFile], "no tensor \"model.layers.0.input_layernorm.weight\"");
    }

    [Fact]
    public void A_failed_open_closes_what_it_opened()
    {
        Write(Config, except: "model.norm.weight");
        Refused();

        // Windows refuses this while a file is open; Linux shows open files.
        File.Delete(_folder[SingleFile]);
        if (OperatingSystem.IsLinux())
        {
            Assert.DoesNotContain(Directory.GetFiles("/proc/self/fd"), link => (new FileInfo(link).LinkTarget ?? "").StartsWith(_folder.Path, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void End_tokens_of_the_generation_config_count_before_those_of_the_config()
    {
        RandomModel.Write(_folder.Path, Config);
        File.WriteAllText(_folder["generation_config.json"], "{\"eos_token_id\": [3, 4]}");
        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal([3, 4], folder.EndTokens);
        Assert.Equal([2], folder.Config.EndTokens);
    }

    [Fact]
    public void Tokenizer_files_are_found_by_their_names()
    {
        RandomModel.Write(_folder.Path, Config);
        foreach (string name in new[] { "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "b.tiktoken", "a.tiktoken" })
        {
            File.WriteAllText(_folder[name], "");
        }

        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal(
            new TokenizerFiles
            {
                SentencePiece = _folder["tokenizer.model"],
                TokenizerJson = _folder["tokenizer.json"],
                TokenizerConfig = _folder["tokenizer_config.json"],
                SpecialTokensMap = _folder["special_tokens_map.json"],
                Ranks = folder.TokenizerFiles.Ranks,
            },
            folder.TokenizerFiles);
        Assert.Equal([_folder["a.tiktoken"], _folder["b.tiktoken"]], folder.TokenizerFiles.Ranks);
    }

    [Theory]
    [InlineData("модель 模型 é 🙂")]
    [InlineData("with space and 'quote'")]
    public void Any_name_of_a_folder_will_do(string name)
    {
        RandomModel.Write(_folder[name], Config, shardCount: 2);
        using ModelFolder folder = ModelFolder.Open(_folder[name]);
        Assert.Equal(_folder[name], folder.Path);
        Assert.NotEmpty(ReadAll(folder.Weights[WeightRole.FinalNorm]));
    }

    [Fact]
    public void A_path_of_300_characters_will_do()
    {
        string path = Path.Combine(_folder.Path, new string('a', 150), new string('b', 150));
        RandomModel.Write(path, Config);
        using ModelFolder folder = ModelFolder.Open(path);
        Assert.NotEmpty(ReadAll(folder.Weights[WeightRole.FinalNorm]));
    }

    [Fact]
    [UnsupportedOSPlatform("windows")]
    public void A_read_only_folder_will_do()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no read-only folders.");
        RandomModel.Write(_folder["m"], Config);
        File.SetUnixFileMode(_folder["m"], UnixFileMode.UserRead | UnixFileMode.UserExecute);
        try
        {
            using ModelFolder folder = ModelFolder.Open(_folder["m"]);
            Assert.NotEmpty(ReadAll(folder.Weights[WeightRole.FinalNorm]));
        }
        finally
        {
            File.SetUnixFileMode(_folder["m"], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    private static byte[] ReadAll(WeightTensor weight)
    {
        byte[] bytes = new byte[weight.ByteLength];
        weight.Read(0, bytes);
        return bytes;
    }

    private static Action<Stream> Zeros(int[] shape, int size) => stream => stream.Write(new byte[shape.Aggregate(size, (product, length) => product * length)]);

    /// <summary>Writes a model of zeros without one of its weights, and with what the caller adds.</summary>
    private void Write(ModelConfig config, string? except, Action<SafetensorsWriter>? add = null)
    {
        File.WriteAllBytes(_folder["config.json"], RandomModel.ConfigJson(config));
        var writer = new SafetensorsWriter();
        foreach (WeightRole role in Enum.GetValues<WeightRole>())
        {
            bool isOfLayer = role is >= WeightRole.AttentionNorm and <= WeightRole.Down;
            for (int layer = 0; layer < (isOfLayer ? config.LayerCount : 1); layer++)
            {
                string name = SafetensorsWeights.NameOf(role, layer);
                (int? rows, int columns) = SafetensorsWeights.ShapeOf(role, config);
                int[] shape = rows is int count ? [count, columns] : [columns];
                if (name != except)
                {
                    writer.Add(name, TensorType.Float32, shape, Zeros(shape, 4));
                }
            }
        }

        add?.Invoke(writer);
        writer.Save(_folder[SingleFile]);
    }

    private ModelFormatException Refused(string? path = null) => Assert.Throws<ModelFormatException>(() => ModelFolder.Open(path ?? _folder.Path));

    private void AssertRefused(string file, params string[] words)
    {
        ModelFormatException error = Refused();
        Assert.Equal(file, error.Path);
        Assert.All(words, word => Assert.Contains(word, error.Message, StringComparison.Ordinal));
    }
}
