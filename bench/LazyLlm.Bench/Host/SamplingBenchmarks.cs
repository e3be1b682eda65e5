using System.Numerics.Tensors;
using BenchmarkDotNet.Attributes;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Bench.Host;

/// <summary>The choice of a token among 32,000 logits, its log-probability included; the baseline only finds the highest.</summary>
public class SamplingBenchmarks
{
    private const int Vocabulary = 32_000;

    private readonly float[] _logits = new float[Vocabulary];
    private readonly Sampler _greedy = new(new SamplingOptions(), Vocabulary);
    private readonly Sampler _temperature = new(new SamplingOptions { Temperature = 0.8f, Seed = 1 }, Vocabulary);
    private readonly Sampler _topK = new(new SamplingOptions { Temperature = 0.8f, TopK = 40, Seed = 1 }, Vocabulary);
    private readonly Sampler _topP = new(new SamplingOptions { Temperature = 0.8f, TopP = 0.95f, Seed = 1 }, Vocabulary);
    private readonly Sampler _penalty = new(new SamplingOptions { RepetitionPenalty = 1.1f }, Vocabulary);

    /// <summary>Draws logits whose spread is that of a model's.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        var random = new Random(1);
        for (int i = 0; i < Vocabulary; i++)
        {
            // Nearly normal, and scaled to a deviation of 3.
            _logits[i] = 3 * (float)(Enumerable.Range(0, 12).Sum(_ => random.NextDouble()) - 6);
        }
    }

    /// <summary>The highest logit's index.</summary>
    [Benchmark(Baseline = true)]
    public int IndexOfMaximum() => TensorPrimitives.IndexOfMax<float>(_logits);

    /// <summary>The most probable token.</summary>
    [Benchmark]
    public int Greedy() => _greedy.Sample(_logits).Id;

    /// <summary>Drawn from all.</summary>
    [Benchmark]
    public int Temperature() => _temperature.Sample(_logits).Id;

    /// <summary>Drawn from the 40 most probable.</summary>
    [Benchmark]
    public int TopK() => _topK.Sample(_logits).Id;

    /// <summary>Drawn from the fewest that hold 95%.</summary>
    [Benchmark]
    public int TopP() => _topP.Sample(_logits).Id;

    /// <summary>The most probable, repetitions made less likely.</summary>
    [Benchmark]
    public int RepetitionPenalty() => _penalty.Sample(_logits).Id;
}
