using System.Text.RegularExpressions;
using LazyLlm.Evaluation.Metrics;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Tests.Running;

public sealed class EvaluationRunnerTests(DemoModel model) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private EvaluationRunner Runner => new(
        model.Items,
        [model.Documents(2)],
        [ScheduleMethod.Dense, ScheduleMethod.LazyLlm(PruningSchedule.Parse("4:0.5;recent=8")), new RandomDropMethod(0.5, runCount: 2)]);

    [Fact]
    public void An_evaluation_that_was_killed_anywhere_goes_on_to_the_same_file()
    {
        string whole = Path.Combine(_folder.Path, "whole.jsonl");
        IReadOnlyList<EvaluationResult> results = Run(whole, int.MaxValue);
        Assert.Equal(8, results.Count);
        string[] lines = File.ReadAllLines(whole);
        Assert.Equal(9, lines.Length);
        for (int records = 0; records < 8; records++)
        {
            // Stopped between records, and then cut in the middle of the last line as a kill does.
            string path = Path.Combine(_folder.Path, $"{records}.jsonl");
            Run(path, records);
            Assert.Equal(records + 1, File.ReadAllLines(path).Length);
            using (FileStream file = File.OpenWrite(path))
            {
                file.SetLength(file.Length - 9);
            }

            Assert.Equal(results.Select(WithoutTimes), Run(path, int.MaxValue).Select(WithoutTimes));
            Assert.Equal(lines.Select(WithoutTimes), File.ReadAllLines(path).Select(WithoutTimes));
        }
    }

    [Fact]
    public void A_finished_evaluation_runs_nothing_again()
    {
        string path = Path.Combine(_folder.Path, "done.jsonl");
        Run(path, int.MaxValue);
        byte[] before = File.ReadAllBytes(path);
        Run(path, int.MaxValue);
        Assert.Equal(before, File.ReadAllBytes(path));
    }

    [Fact]
    public void Results_of_another_evaluation_are_refused_and_kept()
    {
        string path = Path.Combine(_folder.Path, "other.jsonl");
        ResultLog.Open(path, "one").Dispose();
        byte[] before = File.ReadAllBytes(path);
        DataFormatException error = Assert.Throws<DataFormatException>(() => ResultLog.Open(path, "two"));
        Assert.Contains("another evaluation", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(path));

        string foreign = _folder.Write("foreign.jsonl", "{\"a\": 1}\n");
        Assert.Equal(1, Assert.Throws<DataFormatException>(() => ResultLog.Open(foreign, "two")).Line);
    }

    [Fact]
    public void A_damaged_line_of_results_is_named_and_nothing_is_lost()
    {
        string path = Path.Combine(_folder.Path, "damaged.jsonl");
        Run(path, 3);
        string[] lines = File.ReadAllLines(path);
        lines[2] = lines[2][..40];
        File.WriteAllText(path, string.Join('\n', lines) + "\n");
        byte[] before = File.ReadAllBytes(path);
        DataFormatException error = Assert.Throws<DataFormatException>(() => Run(path, int.MaxValue));
        Assert.Equal((path, 3), (error.Path, error.Line));
        Assert.Equal(before, File.ReadAllBytes(path));
    }

    [Fact]
    public void A_malformed_record_is_found_before_anything_is_computed()
    {
        string data = _folder.Write("mine.jsonl", """
            {"input": "a", "context": "a", "answers": ["a"]}
            {"input": "a", "context": "a"}
            """);
        string path = Path.Combine(_folder.Path, "results.jsonl");
        var runner = new EvaluationRunner(model.Items, [RecordTask.FromFile(data, Metric.QaF1, 4, 100)], [ScheduleMethod.Dense]);
        using ResultLog log = ResultLog.Open(path, "d");
        Assert.Equal(2, Assert.Throws<DataFormatException>(() => runner.Run(log, null, TestContext.Current.CancellationToken)).Line);
    }

    [Fact]
    public void The_demo_model_answers_and_the_costs_are_counted()
    {
        var runner = new EvaluationRunner(
            model.Items,
            [model.Documents(4, 150)],
            [ScheduleMethod.Dense, ScheduleMethod.LazyLlm(PruningSchedule.Parse("4:0.1;recent=8")), ScheduleMethod.Static(1, 0.3)]);
        IReadOnlyList<EvaluationResult> results = runner.Run(null, null, TestContext.Current.CancellationToken);
        foreach (EvaluationResult dense in results.Where(result => result.Method == "dense"))
        {
            Assert.Equal((1.0, 1.0, 1.0), (dense.Score, dense.PromptShare, dense.PrefillShare));
            Assert.Equal((1.0, 1.0), (dense.FollowUps[0].Score, dense.FollowUps[0].TotalShare));
        }

        foreach (EvaluationResult lazy in results.Where(result => result.Method.StartsWith("lazyllm", StringComparison.Ordinal)))
        {
            Assert.Equal((4 + (8 * 0.1)) / 12, lazy.PrefillShare, 0.02);
            Assert.InRange(lazy.PromptShare, lazy.PrefillShare, 1);
        }

        // What static pruning dropped never comes back, so the prompt costs nothing after the prefill.
        Assert.All(results.Where(result => result.Method.StartsWith("static", StringComparison.Ordinal)), result => Assert.Equal(result.PrefillShare, result.PromptShare, 12));
    }

    [Fact]
    public void Methods_of_one_name_and_empty_evaluations_are_refused()
    {
        Assert.Throws<InvalidOptionException>(() => new EvaluationRunner(model.Items, [model.Documents(1)], [ScheduleMethod.Dense, ScheduleMethod.Dense]).Run(null, null, TestContext.Current.CancellationToken));
        Assert.Throws<InvalidOptionException>(() => new EvaluationRunner(model.Items, [model.Documents(1)], []).Run(null, null, TestContext.Current.CancellationToken));
    }

    private static string WithoutTimes(EvaluationResult result)
        => WithoutTimes((result with { FirstTokenMilliseconds = 0, TotalMilliseconds = 0, FollowUps = [] }).ToString());

    private static string WithoutTimes(string line) => Regex.Replace(line, "\"[a-z_]+_ms\":[0-9.E+-]+", "");

    /// <summary>Runs until so many results are in the file.</summary>
    private IReadOnlyList<EvaluationResult> Run(string path, int records)
    {
        using var stop = new CancellationTokenSource();
        var progress = new StopAfter(records, stop);
        EvaluationRunner runner = Runner;
        using ResultLog log = ResultLog.Open(path, runner.Describe("model"));
        try
        {
            return runner.Run(log, progress, stop.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return [];
        }
    }

    private sealed class StopAfter(int records, CancellationTokenSource stop) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value)
        {
            if (value.Done == records)
            {
                stop.Cancel();
            }
        }
    }
}
