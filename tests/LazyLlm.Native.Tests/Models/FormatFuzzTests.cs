using System.Buffers.Binary;
using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;
using static LazyLlm.Native.Tests.Models.SafetensorsBytes;

namespace LazyLlm.Native.Tests.Models;

/// <summary>
/// 100,000 damaged inputs, the same in each run: a reader either succeeds, and then its result holds together, or
/// raises <see cref="ModelFormatException"/>; and it never takes memory out of proportion to an input of a few kilobytes.
/// </summary>
public sealed class FormatFuzzTests
{
    private const int MaxBytesPerInput = 4 << 20;

    [Fact]
    public void Damaged_safetensors_files()
    {
        byte[][] headers = [.. new[]
        {
            "{}",
            " {} ",
            "{\"__metadata__\":{\"format\":\"pt\"}}",
            $"{{{Tensor("a", "F32", "[1]", 0, 4)}}}",
            $"{{{Tensor("model.norm.weight", "BF16", "[2,3]", 4, 16)},{Tensor("s", "F32", "[]", 0, 4)}}}",
            $"{{\"__metadata__\":{{\"format\":\"pt\",\"x\":\"\\u00e9\"}},{Tensor("zero", "F16", "[0,18446744073709551615]", 0, 0)},{Tensor("q", "F4", "[2,4]", 0, 4)}}}",
            $"{{{Tensor("t", "U8", "[1,1,1,1,1,1,1,1]", 0, 1)},{Tensor("u", "C64", "[1]", 1, 9)}}}",
            "{\"a\":{\"extra\":[{\"b\":[1,2.5e3]}],\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]}}",
        }.Select(Encoding.UTF8.GetBytes)];
        var random = new Random(1);
        int accepted = Run(45_000, new Mutator(11, headers), header =>
        {
            // The prefix and the length of the data are mostly right, so that the rules behind R4 are reached.
            byte[] file = FileWith(header, random.Next(4) == 0 ? random.Next(20) : DataLengthOf(header));
            if (random.Next(8) == 0)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(file, random.Next(2) == 0 ? (ulong)random.NextInt64() : (ulong)random.Next(file.Length + 4));
            }

            if (random.Next(8) == 0)
            {
                file = file[..random.Next(file.Length)];
            }

            SafetensorsTensor[] tensors = Parse(file);
            long end = file.Length - tensors.Sum(tensor => tensor.Length);
            foreach (SafetensorsTensor tensor in tensors)
            {
                Assert.Equal(end, tensor.Offset);
                Assert.InRange(tensor.Length, 0, file.Length - tensor.Offset);
                end += tensor.Length;
            }

            Assert.Equal(file.Length, end);
        });
        Assert.InRange(accepted, 100, 40_000);
    }

    [Fact]
    public void Damaged_configs()
    {
        byte[][] corpus = [.. new[] { ConfigText.Small, ConfigText.Llama2With70BParameters, ConfigText.Xgen7B8K, ConfigText.Llama31With8BParameters }
            .Select(Encoding.UTF8.GetBytes), ConfigText.With("rope_parameters", "{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":10000.0}")];
        int accepted = Run(25_000, new Mutator(12, corpus), json =>
        {
            ModelConfig config = ModelConfigReader.Parse("config.json", json);
            Assert.True(config.HiddenSize > 0 && config.IntermediateSize > 0 && config.ContextLength > 0);
            Assert.InRange(config.LayerCount, 1, 1_024);
            Assert.Equal(0, config.HeadCount % config.KeyValueHeadCount);
            Assert.Equal(0, config.HeadSize % 2);
            Assert.InRange(config.HeadSize, 2, 256);
            Assert.InRange(config.QueryWidth, config.KeyValueWidth, 1 << 20);
            Assert.True(double.IsFinite(config.RopeTheta) && config.RopeTheta > 0 && config.NormEpsilon > 0);
            Assert.All(config.EndTokens, token => Assert.InRange(token, 0, config.VocabularySize - 1));
        });
        Assert.InRange(accepted, 100, 24_000);
    }

    [Fact]
    public void Damaged_generation_configs()
    {
        byte[][] corpus = ["{\"do_sample\":true,\"temperature\":0.6,\"top_p\":0.9,\"top_k\":50,\"min_p\":0.05,\"eos_token_id\":[2,3],\"max_new_tokens\":64,\"repetition_penalty\":1.1}"u8.ToArray(), "{}"u8.ToArray()];
        int accepted = Run(8_000, new Mutator(13, corpus), json => GenerationDefaults.Parse("generation_config.json", json, 100));
        Assert.InRange(accepted, 100, 7_900);
    }

    [Fact]
    public void Damaged_indexes()
    {
        byte[][] corpus =
        [
            "{\"metadata\":{\"total_size\":13476839424},\"weight_map\":{\"lm_head.weight\":\"model-00002-of-00002.safetensors\",\"a\":\"model-00001-of-00002.safetensors\",\"b\":\"x.safetensors\"}}"u8.ToArray(),
            "{\"weight_map\":{}}"u8.ToArray(),
        ];
        int accepted = Run(20_000, new Mutator(14, corpus), json =>
        {
            foreach (string name in ShardIndex.Parse("model.safetensors.index.json", json).Keys)
            {
                Assert.Equal(Path.GetFullPath("/model/" + name), Path.Combine(Path.GetFullPath("/model"), name));
                Assert.EndsWith(".safetensors", name, StringComparison.Ordinal);
            }
        });
        Assert.InRange(accepted, 100, 19_000);
    }

    [Fact]
    public void Damaged_folders()
    {
        using var folder = new ScratchFolder();
        ModelConfig shape = RandomModel.Shape(hiddenSize: 8, layerCount: 1, headCount: 2, intermediateSize: 8, vocabularySize: 5);
        RandomModel.Write(folder.Path, shape, shardCount: 2);
        string[] files = Directory.GetFiles(folder.Path);
        byte[][] originals = [.. files.Select(File.ReadAllBytes)];
        var mutators = originals.Select((bytes, i) => new Mutator(100 + i, [bytes])).ToArray();
        var random = new Random(2);
        int accepted = 0;
        for (int i = 0; i < 2_000; i++)
        {
            int damaged = random.Next(files.Length);
            File.WriteAllBytes(files[damaged], mutators[damaged].Next());
            try
            {
                using ModelFolder model = ModelFolder.Open(folder.Path);
                byte[] read = new byte[model.Weights[WeightRole.Down].ByteLength];
                model.Weights[WeightRole.Down].Read(0, read);
                accepted++;
            }
            catch (ModelFormatException)
            {
                // The other outcome that is right.
            }

            File.WriteAllBytes(files[damaged], originals[damaged]);
        }

        Assert.InRange(accepted, 10, 1_900);
    }

    /// <summary>Where the last tensor of a header ends, as far as a glance tells; the data that the header asks for.</summary>
    private static int DataLengthOf(byte[] header)
    {
        int max = 0;
        string text = Encoding.Latin1.GetString(header);
        for (int at = text.IndexOf("data_offsets", StringComparison.Ordinal); at >= 0; at = text.IndexOf("data_offsets", at + 1, StringComparison.Ordinal))
        {
            int comma = text.IndexOf(',', at);
            int close = comma < 0 ? -1 : text.IndexOf(']', comma);
            if (close > 0 && int.TryParse(text[(comma + 1)..close], out int end) && end is > 0 and < 10_000)
            {
                max = Math.Max(max, end);
            }
        }

        return max;
    }

    /// <summary>Runs a reader over damaged inputs; returns how many it accepted.</summary>
    private static int Run(int count, Mutator mutator, Action<byte[]> read)
    {
        int accepted = 0;
        for (int i = 0; i < count; i++)
        {
            byte[] input = mutator.Next();
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(input);
                accepted++;
            }
            catch (ModelFormatException)
            {
                // The other outcome that is right.
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Input {i} ended in neither success nor ModelFormatException. As base64: {Convert.ToBase64String(input)}", e);
            }

            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < MaxBytesPerInput, $"Input {i} took {allocated:N0} bytes. As base64: {Convert.ToBase64String(input)}");
        }

        return accepted;
    }
}
