using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public sealed class EvalCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("lazyllm-eval-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Score_writes_the_input_with_our_scores()
    {
        string input = Write("pairs.json", """{"qa_f1": [{"prediction": "The cat", "ground_truth": "cat", "score": 0}]}""");
        CommandRun run = (await CommandRun.RunAsync("eval", "score", "--input", input)).Succeeded();
        Assert.Equal(1, run.Json.GetProperty("qa_f1")[0].GetProperty("score").GetDouble());
        (await CommandRun.RunAsync("eval", "score", "--input", Write("bad.json", """{"bleu": []}"""))).Refused(ExitCode.Failure, "bad.json", "'bleu'");
    }

    [Fact]
    public async Task Recall_compares_methods_and_goes_on_from_its_results()
    {
        string results = Path.Combine(_folder, "results.jsonl");
        string[] arguments =
        [
            "eval", "recall", "--model", RepositoryFiles.Demo, "--device", "cpu", "--lengths", "80", "--depths", "0.5", "--documents", "1",
            "--methods", "lazyllm,random", "--schedules", "4:0.5;recent=8|2:0.5", "--output", results,
        ];
        CommandRun run = (await CommandRun.RunAsync(arguments)).Succeeded();
        Assert.All(["dense", "random 0.667", "lazyllm 4:0.5;recent=8", "lazyllm 2:0.5"], method => Assert.Contains(method, run.Out));
        byte[] first = File.ReadAllBytes(results);
        CommandRun again = (await CommandRun.RunAsync(arguments)).Succeeded();
        Assert.Equal(run.Out, again.Out);
        Assert.Equal(first, File.ReadAllBytes(results));
        Assert.Contains("Going on from", again.Error);

        arguments[^3] = "4:0.1";
        (await CommandRun.RunAsync(arguments)).Refused(ExitCode.Failure, "another evaluation");
        Assert.Equal(first, File.ReadAllBytes(results));
    }

    [Fact]
    public async Task Sweep_leaves_a_page_and_figures_and_names_a_schedule()
    {
        string report = Path.Combine(_folder, "report");
        CommandRun run = (await CommandRun.RunAsync(
            "eval", "sweep", "--model", RepositoryFiles.Demo, "--device", "cpu", "--lengths", "80", "--depths", "0.5", "--documents", "2",
            "--methods", "lazyllm", "--layers", "2", "--report", report)).Succeeded();
        Assert.Contains("Recommended schedule: ", run.Out);
        Assert.Equal(
            ["figure-5-tradeoff.png", "figure-5-tradeoff.svg", "figure-6-layers.png", "figure-6-layers.svg", "figure-7-growth.png", "figure-7-growth.svg", "report.html"],
            Directory.GetFiles(report).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Contains("lazyllm eval sweep", File.ReadAllText(Path.Combine(report, "report.html")));
    }

    [Fact]
    public async Task LongBench_reads_the_users_data_and_configuration()
    {
        Write("dataset2prompt.json", """{"triviaqa": "{context} Question: Where does {input} keep the key? Answer:", "trec": "{context}{input}"}""");
        Write("dataset2maxlen.json", """{"triviaqa": 4, "trec": 4}""");
        Write("triviaqa.jsonl", """{"input": "Hugo", "context": "Hugo keeps the key in the cellar. Mira keeps the lamp in the attic.", "answers": ["cellar"], "all_classes": null}""");
        string[] arguments =
        [
            "eval", "longbench", "--model", RepositoryFiles.Demo, "--device", "cpu", "--data", _folder, "--config", _folder, "--methods", "dense",
            "--datasets", "triviaqa",
        ];
        CommandRun run = (await CommandRun.RunAsync(arguments)).Succeeded();
        Assert.Contains("Few-shot Learning", run.Out);
        Assert.Contains("triviaqa", run.Out);

        arguments[^1] = "trec";
        (await CommandRun.RunAsync(arguments)).Refused(ExitCode.Failure, "trec.jsonl");
        arguments[^1] = "qasper";
        (await CommandRun.RunAsync(arguments)).Refused(ExitCode.Failure, "dataset2maxlen.json", "'qasper'");
        arguments[^1] = "unknown";
        (await CommandRun.RunAsync(arguments)).Refused(ExitCode.Usage, "'unknown'");
    }

    [Fact]
    public async Task A_task_of_the_users_own_is_scored_by_its_metric()
    {
        string file = Write("mine.jsonl", """{"input": "Question: Where does Mira keep the lamp? Answer:", "context": "Hugo keeps the key in the cellar. Mira keeps the lamp in the attic.", "answers": ["attic"]}""");
        CommandRun run = (await CommandRun.RunAsync(
            "eval", "task", "--model", RepositoryFiles.Demo, "--device", "cpu", "--file", file, "--metric", "qa_f1", "--template", "{context} {input}",
            "--max-new-tokens", "2", "--methods", "lazyllm", "--schedules", "4:0.5;recent=8")).Succeeded();
        Assert.Contains("| mine | dense                  | 100.00 |", run.Out);
        Assert.Contains("| mine | lazyllm 4:0.5;recent=8 | 100.00 |", run.Out);
        (await CommandRun.RunAsync("eval", "task", "--model", RepositoryFiles.Demo, "--device", "cpu", "--file", Write("broken.jsonl", "{"))).Refused(ExitCode.Failure, "broken.jsonl, line 1");
        (await CommandRun.RunAsync("eval", "task", "--model", RepositoryFiles.Demo, "--device", "cpu", "--file", file, "--methods", "h2o")).Refused(ExitCode.Usage, "'h2o'");
    }

    [Theory]
    [InlineData("--lengths", "0")]
    [InlineData("--depths", "2")]
    [InlineData("--documents", "0")]
    [InlineData("--follow-ups", "-1")]
    [InlineData("--schedules", "x")]
    public async Task Recall_refuses_impossible_options(string option, string value)
        => (await CommandRun.RunAsync("eval", "recall", "--model", RepositoryFiles.Demo, "--device", "cpu", option, value)).Refused(ExitCode.Usage, value);

    private string Write(string name, string content)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllText(path, content);
        return path;
    }
}
