using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public sealed class RandomModelTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(TensorType.Float32, 1, false)]
    [InlineData(TensorType.Float16, 3, true)]
    [InlineData(TensorType.BFloat16, 2, false)]
    public void A_random_model_opens_with_the_statistics_it_promises(TensorType type, int shardCount, bool tied)
    {
        ModelConfig config = RandomModel.Shape(hiddenSize: 96, layerCount: 3, headCount: 6, keyValueHeadCount: 2, intermediateSize: 200, type: type, tiedEmbeddings: tied)
            with { RopeScaling = new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 512), NormEpsilon = 3e-6 };
        RandomModel.Write(_folder.Path, config, seed: 5, shardCount: shardCount);

        using ModelFolder folder = ModelFolder.Open(_folder.Path);
        Assert.Equal(config with { EndTokens = folder.Config.EndTokens }, folder.Config);
        Assert.Equal(config.EndTokens, folder.Config.EndTokens);
        Assert.Equal(shardCount, folder.Tensors.Select(tensor => tensor.File).Distinct().Count());
        CheckStatistics(folder.Weights[WeightRole.Query, 2], 0, 1.6 / Math.Sqrt(96));
        CheckStatistics(folder.Weights[WeightRole.Down, 1], 0, 1 / Math.Sqrt(200));
        CheckStatistics(folder.Weights[WeightRole.Embedding], 0, 1);
        CheckStatistics(folder.Weights[WeightRole.FinalNorm], 1, 0.1);
    }

    [Fact]
    public void A_seed_gives_one_model()
    {
        RandomModel.Write(_folder["a"], RandomModel.Shape(), seed: 1);
        RandomModel.Write(_folder["b"], RandomModel.Shape(), seed: 1);
        RandomModel.Write(_folder["c"], RandomModel.Shape(), seed: 2);
        byte[] a = File.ReadAllBytes(Path.Combine(_folder["a"], "model.safetensors"));
        Assert.Equal(a, File.ReadAllBytes(Path.Combine(_folder["b"], "model.safetensors")));
        Assert.NotEqual(a, File.ReadAllBytes(Path.Combine(_folder["c"], "model.safetensors")));
    }

    private static void CheckStatistics(WeightTensor weight, double mean, double deviation)
    {
        byte[] bytes = new byte[weight.ByteLength];
        weight.Read(0, bytes);
        float[] numbers = Numbers.Of(weight.Type, bytes);
        double found = numbers.Average(number => (double)number);
        Assert.InRange(found, mean - (4 * deviation / Math.Sqrt(numbers.Length)), mean + (4 * deviation / Math.Sqrt(numbers.Length)));
        Assert.InRange(Math.Sqrt(numbers.Average(number => (number - found) * (number - found))), 0.7 * deviation, 1.3 * deviation);
    }
}
