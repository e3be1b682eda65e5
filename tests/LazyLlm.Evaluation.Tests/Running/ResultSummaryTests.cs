using LazyLlm.Evaluation.Running;

namespace LazyLlm.Evaluation.Tests.Running;

public sealed class ResultSummaryTests
{
    [Theory]
    [InlineData(new[] { 0.12125 }, 12.12)]
    [InlineData(new[] { 0.12375 }, 12.38)]
    [InlineData(new[] { 0.0, 1.0, 1.0 }, 66.67)]
    [InlineData(new[] { 1.0, 1.0 }, 100.0)]
    public void A_datasets_score_is_rounded_as_Python_rounds(double[] scores, double expected)
        => Assert.Equal(expected, ResultSummary.DatasetScore(scores));

    [Fact]
    public void A_groups_score_is_the_mean_of_its_datasets_and_its_speedup_the_median_of_all_items()
    {
        EvaluationResult[] results =
        [
            Result("a", 0, "dense", 1, 100), Result("a", 0, "fast", 0.5, 50),
            Result("b", 0, "dense", 0, 300), Result("b", 0, "fast", 0.25, 50),
            Result("b", 1, "dense", 0, 300), Result("b", 1, "fast", 0.25, 30),
        ];
        MethodScore[] rows = [.. ResultSummary.ByGroup(results)];
        Assert.Equal(["dense", "fast"], rows.Select(row => row.Method));
        Assert.Equal([50, 37.5], rows.Select(row => row.Score));
        Assert.Equal([1, 6], rows.Select(row => row.FirstTokenSpeedup));
        Assert.True(double.IsNaN(rows[0].FollowUpScore));
        Assert.Equal(4, ResultSummary.ByDataset(results).Count);
    }

    private static EvaluationResult Result(string dataset, int index, string method, double score, double milliseconds) => new()
    {
        Group = "g",
        Dataset = dataset,
        Index = index,
        Method = method,
        Run = 0,
        Prediction = "",
        Score = score,
        PromptTokens = 10,
        GeneratedTokens = 1,
        PromptShare = 1,
        PrefillShare = 1,
        FirstTokenMilliseconds = milliseconds,
        TotalMilliseconds = milliseconds,
    };
}
