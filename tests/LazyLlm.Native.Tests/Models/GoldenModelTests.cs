using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public class GoldenModelTests
{
    [Fact]
    public void Tiny_mha_opens_and_every_weight_reads()
    {
        using ModelFolder folder = ModelFolder.Open(RepositoryFiles.Golden("models", "tiny-mha"));
        Assert.Equal(64, folder.Config.HiddenSize);
        Assert.Equal(16, folder.Config.HeadSize);
        Assert.Equal(6, folder.Config.LayerCount);
        Assert.False(folder.Config.TiedEmbeddings);
        Assert.Equal(TensorType.Float32, folder.Config.DeclaredType);
        Assert.Equal([2], folder.EndTokens);
        Assert.NotSame(folder.Weights[WeightRole.Embedding], folder.Weights[WeightRole.OutputHead]);
        Assert.Equal(folder.Tensors.Sum(tensor => tensor.ByteLength), ReadEveryWeight(folder));
    }

    [Fact]
    public void Tiny_gqa_bf16_opens_with_the_embedding_as_its_head()
    {
        using ModelFolder folder = ModelFolder.Open(RepositoryFiles.Golden("models", "tiny-gqa-bf16"));
        Assert.Equal(2, folder.Config.KeyValueHeadCount);
        Assert.Equal(32, folder.Weights[WeightRole.Key, 4].Rows);
        Assert.Equal(500_000, folder.Config.RopeTheta);
        Assert.Equal(TensorType.BFloat16, folder.Weights[WeightRole.FinalNorm].Type);
        Assert.Same(folder.Weights[WeightRole.Embedding], folder.Weights[WeightRole.OutputHead]);
        Assert.Equal(folder.Tensors.Sum(tensor => tensor.ByteLength), ReadEveryWeight(folder));
    }

    [Fact]
    public void Demo_opens_with_its_tokenizer_and_generation_defaults()
    {
        using ModelFolder folder = ModelFolder.Open(RepositoryFiles.Demo);
        Assert.Equal(12, folder.Config.LayerCount);
        Assert.Equal(4, folder.Generation.MaxNewTokens);
        Assert.False(folder.Generation.Sample);
        Assert.Null(folder.Generation.Temperature);
        Assert.EndsWith("tokenizer.model", folder.TokenizerFiles.SentencePiece);
        Assert.Null(folder.TokenizerFiles.TokenizerJson);
        Assert.Equal(folder.ParameterCount * 2, ReadEveryWeight(folder));
    }

    [Fact]
    public void Stories260K_opens_and_every_weight_reads()
    {
        using ModelFolder folder = ModelFolder.Open(RepositoryFiles.Shared("golden", "models", "stories260K"));
        Assert.Equal(4, folder.Config.KeyValueHeadCount);
        Assert.True(folder.Config.TiedEmbeddings);
        Assert.Equal(folder.Weights.TotalBytes, ReadEveryWeight(folder));
    }

    [Fact]
    public void Identity_is_stable_and_tells_models_apart()
    {
        using ModelFolder one = ModelFolder.Open(RepositoryFiles.Demo);
        using ModelFolder again = ModelFolder.Open(RepositoryFiles.Demo);
        using ModelFolder other = ModelFolder.Open(RepositoryFiles.Golden("models", "tiny-mha"));
        Assert.Equal(64, one.Identity.Length);
        Assert.Equal(one.Identity, again.Identity);
        Assert.NotEqual(one.Identity, other.Identity);
    }

    /// <summary>Reads each weight once, in two pieces; checks that its numbers are those of a model; returns the bytes.</summary>
    private static long ReadEveryWeight(ModelFolder folder)
    {
        var weights = new HashSet<WeightTensor>();
        foreach (WeightRole role in Enum.GetValues<WeightRole>())
        {
            for (int layer = 0; layer < folder.Config.LayerCount; layer++)
            {
                weights.Add(folder.Weights[role, layer]);
            }
        }

        foreach (WeightTensor weight in weights)
        {
            byte[] bytes = new byte[weight.ByteLength];
            int half = bytes.Length / 2;
            weight.Read(0, bytes.AsSpan(0, half));
            weight.Read(half, bytes.AsSpan(half));
            Assert.All(Numbers.Of(weight.Type, bytes), number => Assert.InRange(number, -50, 50));
        }

        Assert.Equal(folder.Weights.TotalBytes, weights.Sum(weight => weight.ByteLength));
        return folder.Weights.TotalBytes;
    }
}
