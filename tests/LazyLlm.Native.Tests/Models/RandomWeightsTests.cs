using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public class RandomWeightsTests
{
    public static TheoryData<string> Names => [.. ModelShapes.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_shape_is_one_that_the_weights_can_have(string name)
    {
        ModelConfig config = ModelShapes.Find(name);
        Assert.Equal(config.HiddenSize, config.QueryWidth);
        Assert.Equal(0, config.HeadCount % config.KeyValueHeadCount);
        using var weights = new RandomWeights(config);
        Assert.Equal((config.KeyValueWidth, config.HiddenSize), (weights[WeightRole.Key, config.LayerCount - 1].Rows, weights[WeightRole.Key].Columns));
    }

    [Fact]
    public void Llama_2_has_the_parameters_that_its_names_promise()
    {
        Assert.Equal([6.74e9, 13.0e9, 69.0e9, 1.10e9], ModelShapes.Names.Take(4).Select(name => new RandomWeights(ModelShapes.Find(name)).TotalBytes / 2.0), new Near());
    }

    [Fact]
    public void Any_piece_reads_as_it_stands_in_the_whole()
    {
        using var weights = new RandomWeights(ModelShapes.Find("tinyllama-1.1b"));
        WeightTensor tensor = weights[WeightRole.Down, 3];
        byte[] whole = new byte[tensor.ByteLength];
        tensor.Read(0, whole);
        foreach ((int from, int count) in new[] { (0, 2), (12_345, 1), (2_097_158 - 3, 10), (whole.Length - 7, 7) })
        {
            byte[] piece = new byte[count];
            tensor.Read(from, piece);
            Assert.Equal(whole[from..(from + count)], piece);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_engine_runs_on_weights_that_came_from_no_folder(bool tied)
    {
        ModelConfig config = ModelShapes.Find("tiny") with { TiedEmbeddings = tied };
        using LlamaEngine engine = await LlamaEngine.LoadAsync(new RandomWeights(config), new EngineOptions { Device = "cpu", ContextLength = 100 }, cancellation: TestContext.Current.CancellationToken);
        Assert.Null(engine.Tokenizer);
        Assert.Equal(engine.Folder.ParameterCount, new RandomWeights(config).TotalBytes / 2);
        using Session dense = engine.CreateSession();
        using Session whole = engine.CreateSession(PruningSchedule.Parse("2:1"));
        int[] prompt = [.. Enumerable.Range(0, 60)];
        float[] logits = dense.Step(prompt, TestContext.Current.CancellationToken).ToArray();
        Assert.All(logits, logit => Assert.True(float.IsFinite(logit)));
        Assert.True(logits.Distinct().Count() > logits.Length / 2);
        Assert.Equal(logits, whole.Step(prompt, TestContext.Current.CancellationToken).ToArray());
        Assert.Throws<InvalidOptionException>(() => dense.Append("text"));
    }

    [Fact]
    public async Task A_context_beyond_the_shape_is_refused() =>
        await Assert.ThrowsAsync<InvalidOptionException>(() => LlamaEngine.LoadAsync(new RandomWeights(ModelShapes.Find("tiny")), new EngineOptions { ContextLength = 5000 }));

    private sealed class Near : IEqualityComparer<double>
    {
        public bool Equals(double x, double y) => Math.Abs(x - y) < 0.01 * Math.Max(x, y);

        public int GetHashCode(double obj) => 0;
    }
}
