using LazyLlm.Evaluation.Reports;

namespace LazyLlm.Evaluation.Tests.Reports;

public sealed class ResultTableTests
{
    [Fact]
    public void Markdown_is_aligned_with_names_left_and_figures_right()
    {
        var table = new ResultTable("t", ["Task", "Method", "Score"], [["a", "dense", "7.00"], ["long name", "x", "100.00"]]);
        using var writer = new StringWriter { NewLine = "\n" };
        table.WriteMarkdown(writer);
        Assert.Equal(
            """
            | Task      | Method |  Score |
            | --------- | ------ | -----: |
            | a         | dense  |   7.00 |
            | long name | x      | 100.00 |

            """,
            writer.ToString());
    }
}
