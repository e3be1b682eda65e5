using LazyLlm.Native.Diagnostics;

namespace LazyLlm.Evaluation.Speed;

/// <summary>What came of a case: times as medians over its rounds, counts as they were in each of them.</summary>
/// <param name="Case">What was measured.</param>
/// <param name="Samples">The rounds that counted, in order.</param>
/// <param name="Dense">The dense model's samples of the same rounds.</param>
/// <param name="Counts">Pairs and bytes of one sequence: at its first token for batch 1, at its end for more.</param>
/// <param name="GeneratedTokens">Tokens that each sequence generated.</param>
/// <param name="PredictedSpeedup">How many times fewer operations the prompt takes than under the dense model, by counting.</param>
public sealed record SpeedResult(SpeedCase Case, IReadOnlyList<SpeedSample> Samples, IReadOnlyList<SpeedSample> Dense, RunStatistics Counts, int GeneratedTokens, double PredictedSpeedup)
{
    /// <summary>Median time to the first token.</summary>
    public TimeSpan FirstToken => Middle(sample => sample.FirstToken);

    /// <summary>Median of the longest time to a first token among the sequences.</summary>
    public TimeSpan LastFirstToken => Middle(sample => sample.LastFirstToken);

    /// <summary>Median time per token after the first; zero without any.</summary>
    public TimeSpan PerToken => Middle(sample => sample.PerToken);

    /// <summary>Median of the time of the whole case.</summary>
    public TimeSpan Total => Middle(sample => sample.Total);

    /// <summary>Generated tokens of all sequences over the time of the whole case, prompts included.</summary>
    public double TokensPerSecond => Case.Batch * (double)GeneratedTokens / Total.TotalSeconds;

    /// <summary>How many times sooner than the dense model's the first token came: the median of each round's ratio.</summary>
    public double Speedup => Ratio(sample => sample.FirstToken);

    /// <summary>How many times faster than the dense model's the tokens after the first came; not a number without any.</summary>
    public double DecodeSpeedup => Ratio(sample => sample.PerToken);

    /// <summary>How many times sooner than the dense model's everything was done.</summary>
    public double TotalSpeedup => Ratio(sample => sample.Total);

    /// <summary><see cref="Speedup"/> over <see cref="PredictedSpeedup"/>: the share reached of what counting promises.</summary>
    public double ReachedShare => Speedup / PredictedSpeedup;

    private TimeSpan Middle(Func<SpeedSample, TimeSpan> time) => TimeSpan.FromSeconds(Median.Of(Samples.Select(sample => time(sample).TotalSeconds)));

    private double Ratio(Func<SpeedSample, TimeSpan> time) => Median.Of(Dense.Zip(Samples, (dense, sample) => time(dense) / time(sample)));
}
