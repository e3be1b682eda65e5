using System.Text.Json;
using LazyLlm.Evaluation.Metrics;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Tests.Metrics;

public sealed class MetricTests
{
    [Theory]
    [InlineData("qa_f1")]
    [InlineData("rouge_l")]
    [InlineData("classification")]
    [InlineData("retrieval")]
    [InlineData("count")]
    [InlineData("code_sim")]
    public void Golden_scores_are_equal(string name)
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(RepositoryFiles.Shared("longbench", "metrics_golden.json")));
        int compared = 0;
        foreach (JsonElement entry in golden.RootElement.GetProperty(name).EnumerateArray())
        {
            string[] classes = entry.TryGetProperty("all_classes", out JsonElement names) && names.ValueKind == JsonValueKind.Array
                ? [.. names.EnumerateArray().Select(value => value.GetString()!)]
                : [];
            double score = Metric.Named(name).Score(entry.GetProperty("prediction").GetString()!, entry.GetProperty("ground_truth").GetString()!, classes);
            Assert.True(Math.Abs(score - entry.GetProperty("score").GetDouble()) <= 1e-9, $"{name}: {score} for {entry}");
            compared++;
        }

        Assert.True(compared > 20, $"only {compared} golden scores");
    }

    // Worked by hand from the rules, so that a clone without the golden data still tests every metric.
    [Theory]
    [InlineData("qa_f1", "The cat, sat!", "a cat sat", 1.0)]
    [InlineData("qa_f1", "cat cat dog", "cat dog dog dog", 4.0 / 7)]
    [InlineData("qa_f1", "the–end", "–end", 1.0)]
    [InlineData("qa_f1", "the", "the", 0)]
    [InlineData("rouge_l", "", "a b", 0)]
    [InlineData("rouge_l", "...", "a b", 0)]
    [InlineData("rouge_l", "a b a b", "a b", 1.0)]
    [InlineData("rouge_l", "a b. c d", "c a", 2 * (0.5 * 1 / 1.5))]
    [InlineData("rouge_l", "x y", "y x", 0.5)]
    [InlineData("retrieval", "Paragraph 3 or 4", "Paragraph 3", 0.5)]
    [InlineData("retrieval", "none", "Paragraph 3", 0)]
    [InlineData("count", "7, 7 and 8", "7", 2.0 / 3)]
    [InlineData("code_sim", "```\n# no\n\nreturn x", "return y", 0)]
    [InlineData("code_sim", "\n\nreturn x\nreturn y", "return y", 0.88)]
    [InlineData("code_sim", "// only a comment", "", 1.0)]
    [InlineData("code_sim", "a", "", 0)]
    public void Hand_worked_scores_are_equal(string metric, string prediction, string truth, double expected)
        => Assert.Equal(expected, Metric.Named(metric).Score(prediction, truth), 1e-7);

    [Fact]
    public void Class_names_are_struck_off_while_the_list_is_walked()
    {
        // "City" is struck off, which hides "Other" from the walk, so that it stays and halves the score.
        string[] classes = ["City", "Other", "Other City"];
        Assert.Equal(0.5, Metric.Classification.Score("Other City", "Other City", classes));
        Assert.Equal(1.0, Metric.Classification.Score("Other City", "Other City", ["City", "Other City"]));
        Assert.Equal(0, Metric.Classification.Score("City", "Other City", classes));
    }

    [Fact]
    public void A_long_line_starts_no_match_at_its_frequent_characters()
    {
        // 200 code points: 'a' stands there more than 3 times and is popular, so only the match that 'z' starts counts.
        string truth = new string('a', 199) + "z";
        Assert.Equal(0, Metric.CodeSimilarity.Score("baaaa", truth));
        Assert.Equal(Math.Round(100 * 2.0 * 5 / 206) / 100, Metric.CodeSimilarity.Score("baaaaz", truth));
    }

    [Fact]
    public void The_best_answer_counts()
    {
        Assert.Equal(1, Metric.QaF1.BestScore("two", ["one", "two"]));
        Assert.Equal(0, Metric.QaF1.BestScore("two", []));
    }

    [Fact]
    public void An_unknown_metric_lists_the_known_ones()
        => Assert.Contains("rouge_l", Assert.Throws<InvalidOptionException>(() => Metric.Named("bleu")).Message, StringComparison.Ordinal);
}
