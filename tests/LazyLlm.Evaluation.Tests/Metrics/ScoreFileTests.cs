using System.Text;
using System.Text.Json;
using LazyLlm.Evaluation.Metrics;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Tests.Metrics;

public sealed class ScoreFileTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void Entries_come_back_with_our_score_in_place_of_theirs()
    {
        using JsonDocument scored = JsonDocument.Parse(Score("""
            {"qa_f1": [{"prediction": "é", "ground_truth": "é", "score": 0.25, "id": 7}],
             "classification": [{"prediction": "B", "ground_truth": "B", "all_classes": ["A", "B"]}]}
            """));
        JsonElement entry = scored.RootElement.GetProperty("qa_f1")[0];
        Assert.Equal(1, entry.GetProperty("score").GetDouble());
        Assert.Equal(7, entry.GetProperty("id").GetInt32());
        Assert.Equal(1, scored.RootElement.GetProperty("classification")[0].GetProperty("score").GetDouble());
    }

    [Fact]
    public void The_golden_file_comes_back_with_equal_scores()
    {
        string golden = RepositoryFiles.Shared("longbench", "metrics_golden.json");
        using var output = new MemoryStream();
        ScoreFile.Score(golden, output);
        using JsonDocument expected = JsonDocument.Parse(File.ReadAllBytes(golden));
        using JsonDocument found = JsonDocument.Parse(output.ToArray());
        foreach (JsonProperty metric in expected.RootElement.EnumerateObject())
        {
            Assert.Equal(
                metric.Value.EnumerateArray().Select(entry => Math.Round(entry.GetProperty("score").GetDouble(), 9)),
                found.RootElement.GetProperty(metric.Name).EnumerateArray().Select(entry => Math.Round(entry.GetProperty("score").GetDouble(), 9)));
        }
    }

    [Theory]
    [InlineData("[]", "object of metric name")]
    [InlineData("""{"bleu": []}""", "'bleu' is unknown")]
    [InlineData("""{"qa_f1": [{"prediction": "a"}]}""", "'qa_f1', entry 0: the string 'ground_truth'")]
    [InlineData("""{"qa_f1": [{"prediction": 1, "ground_truth": "a"}]}""", "'qa_f1', entry 0: the string 'prediction'")]
    [InlineData("""{"retrieval": [{"prediction": "1", "ground_truth": "a"}]}""", "'retrieval', entry 0")]
    [InlineData("""{"classification": [{"prediction": "1", "ground_truth": "a", "all_classes": [1]}]}""", "all_classes")]
    [InlineData("{", "not JSON")]
    public void A_malformed_file_is_named_and_nothing_is_written(string content, string expected)
    {
        File.WriteAllText(_path, content);
        using var output = new MemoryStream();
        DataFormatException error = Assert.Throws<DataFormatException>(() => ScoreFile.Score(_path, output));
        Assert.Equal(_path, error.Path);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Equal(0, output.Length);
    }

    private byte[] Score(string content)
    {
        File.WriteAllText(_path, content, Encoding.UTF8);
        using var output = new MemoryStream();
        ScoreFile.Score(_path, output);
        return output.ToArray();
    }
}
