using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.Speed;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Tests.Speed;

public sealed class SpeedBenchmarkTests(DemoModel model)
{
    private static readonly PruningSchedule Half = PruningSchedule.Parse("4:0.5");

    private static readonly SpeedOptions Options = new() { Lengths = [24, 48], Schedules = [Half], DecodeTokens = 3, Rounds = 3, WarmUps = 1 };

    [Fact]
    public async Task Schedules_take_turns_and_every_second_round_goes_backwards()
    {
        var order = new Order();
        await new SpeedBenchmark(model.Engine, Options with { Lengths = [16] }).RunAsync(order, TestContext.Current.CancellationToken);
        Assert.Equal(["4:0.5", "none", "none", "4:0.5", "4:0.5", "none", "none", "4:0.5"], order.Seen.Select(seen => seen.Case.Schedule.ToString()));
        Assert.Equal(Enumerable.Range(0, 8), order.Seen.Select(seen => seen.Done));
        Assert.All(order.Seen, seen => Assert.Equal(8, seen.Total));
    }

    [Fact]
    public async Task Counts_are_those_of_the_schedule_and_ratios_are_within_a_round()
    {
        IReadOnlyList<SpeedResult> results = await new SpeedBenchmark(model.Engine, Options with { Batches = [1, 2] }).RunAsync(null, TestContext.Current.CancellationToken);
        Assert.Equal(8, results.Count);
        Assert.All(results, result => Assert.Equal(3, result.Samples.Count));
        SpeedResult pruned = results.Single(result => result.Case == new SpeedCase(1, 48, Half));
        Assert.Equal((48 * 4) + (24 * 8), pruned.Counts.ComputedPairs);
        Assert.Equal(48 * 12, pruned.Counts.DensePairs);
        Assert.Equal(4, pruned.GeneratedTokens);
        Assert.True(pruned.FirstToken > TimeSpan.Zero && pruned.Total > pruned.FirstToken);
        double[] ratios = [.. pruned.Dense.Zip(pruned.Samples, (dense, sample) => dense.FirstToken / sample.FirstToken).Order()];
        Assert.Equal(ratios[1], pruned.Speedup);
        Assert.Equal(pruned.Speedup / pruned.PredictedSpeedup, pruned.ReachedShare);
        Assert.All(results.Where(result => result.Case.Batch == 2), result => Assert.True(result.LastFirstToken >= result.FirstToken));

        IReadOnlyList<LineFigure> figures = SpeedFigures.Draw(results);
        Assert.Equal(["bench-first-token", "bench-decode", "bench-speed-up", "bench-batch"], figures.Select(figure => figure.Name));
        Assert.All(figures, figure => Assert.Contains("4:0.5", figure.Svg));
        figures.ToList().ForEach(figure => figure.Dispose());
    }

    [Fact]
    public async Task Without_tokens_after_the_first_there_is_no_time_per_token()
    {
        IReadOnlyList<SpeedResult> results = await new SpeedBenchmark(model.Engine, Options with { Lengths = [16], DecodeTokens = 0, Rounds = 1 }).RunAsync(null, TestContext.Current.CancellationToken);
        Assert.All(results, result => Assert.Equal(TimeSpan.Zero, result.PerToken));
        Assert.All(results, result => Assert.True(double.IsNaN(result.DecodeSpeedup)));
        IReadOnlyList<LineFigure> figures = SpeedFigures.Draw(results);
        Assert.DoesNotContain("bench-decode", figures.Select(figure => figure.Name));
        figures.ToList().ForEach(figure => figure.Dispose());
    }

    [Fact]
    public async Task What_does_not_fit_is_refused_before_anything_runs()
    {
        var order = new Order();
        foreach (SpeedOptions options in new[]
        {
            Options with { Lengths = [2046] },
            Options with { Rounds = 0 },
            Options with { WarmUps = -1 },
            Options with { Batches = [1, 0] },
            Options with { Schedules = [PruningSchedule.Parse("12:0.5")] },
            Options with { Profiled = ProfiledPart.All },
            Options with { Profiled = ProfiledPart.Prefill, Batches = [2] },
            Options with { Profiled = ProfiledPart.Decode, DecodeTokens = 0 },
        })
        {
            await Assert.ThrowsAsync<InvalidOptionException>(() => new SpeedBenchmark(model.Engine, options).RunAsync(order, TestContext.Current.CancellationToken));
        }

        Assert.Empty(order.Seen);
    }

    private sealed class Order : IProgress<SpeedProgress>
    {
        public List<SpeedProgress> Seen { get; } = [];

        public void Report(SpeedProgress value) => Seen.Add(value);
    }
}
