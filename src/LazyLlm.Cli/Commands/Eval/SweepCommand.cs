using System.CommandLine;
using System.Text;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.LongBench;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Evaluation.Reports;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Sweep;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary><c>lazyllm eval sweep</c>: the paper's Figures 5 to 7, one page, and a recommended schedule.</summary>
internal sealed class SweepCommand
{
    private const string PageName = "report.html";

    private readonly EvalFlags _flags = new(modelIsRequired: false);
    private readonly RecallFlags _recall = new("1000", "0.1,0.5,0.9");
    private readonly LongBenchFlags _longBench = new(isRequired: false);
    private readonly TaskFlags _taskFile = new(isRequired: false);
    private readonly Option<string> _task = new("--task") { Description = "What to sweep on: 'recall' (generated documents), 'longbench' (--data and --config), or 'file' (--file).", HelpName = "recall|longbench|file", DefaultValueFactory = _ => "recall" };
    private readonly Option<string> _report = new("--report") { Description = $"Folder for {PageName} and the figures as PNG and SVG.", HelpName = "DIR", DefaultValueFactory = _ => "sweep" };
    private readonly Option<double> _loss = new("--loss") { Description = "Points of score (0 to 100) that the recommended schedule may lose against the dense model.", HelpName = "POINTS", DefaultValueFactory = _ => 1 };
    private readonly Option<int> _layers = new("--layers") { Description = "Most layers to prune once at.", HelpName = "N", DefaultValueFactory = _ => 6 };
    private readonly Option<string?> _rule = new("--rule") { Description = "Selection options of every schedule, such as 'recent=8;pool=7'. For recall, those of the schedule that suits the model.", HelpName = "OPTIONS" };

    private SweepCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var sweep = new SweepCommand();
        var command = new Command("sweep", "Draw the paper's Figures 5 to 7 for a model and a task, and recommend a schedule.")
        {
            sweep._task, sweep._report, sweep._loss, sweep._layers, sweep._rule,
        };
        sweep._recall.AddTo(command);
        sweep._longBench.AddTo(command);
        sweep._taskFile.AddTo(command);
        sweep._flags.AddTo(command);
        command.SetAction((arguments, cancellation) => sweep.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        var notes = new Notes(terminal, arguments);
        string folder = _flags.Folder(arguments);
        string report = Directory.CreateDirectory(arguments.GetValue(_report)!).FullName;
        using LlamaEngine engine = await _flags.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false);
        RecallTask? recall = arguments.GetValue(_task) == "recall" ? RecallFlags.Load(folder, engine) : null;
        string rule = arguments.GetValue(_rule) ?? "";
        var options = new SweepOptions
        {
            AllowedLoss = arguments.GetValue(_loss),
            Layers = EvalFlags.Positive(arguments, _layers),
            Families = _flags.Families(arguments),
            Rule = PruningSchedule.Parse(rule.Length > 0 ? $"none;{rule}" : recall?.RecommendedSchedule ?? "none").Rule,
        };
        var runner = new SweepRunner(new ItemRunner(engine, engine.Tokenizer!, _flags.Seed(arguments)), Tasks(arguments, recall, engine), options);
        string digest = ModelDigest.Compute(folder, cancellation);
        SweepResult result = _flags.Run(arguments, terminal, runner.Describe(digest), (log, progress) => runner.Run(log, progress, cancellation));
        if (LineFigure.MissingFonts is string fonts)
        {
            notes.Write(fonts);
        }

        IReadOnlyList<LineFigure> figures = result.DrawFigures();
        try
        {
            foreach (LineFigure figure in figures)
            {
                figure.Save(report);
            }

            using var page = new StreamWriter(Path.Combine(report, PageName), append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            SweepReport.Write(page, result, figures, RunFacts.Collect(EvalFlags.CommandLine(arguments), engine, digest));
        }
        finally
        {
            figures.ToList().ForEach(figure => figure.Dispose());
        }

        foreach (ResultTable table in SweepReport.Tables(result))
        {
            terminal.Out.WriteLine($"{table.Title}:");
            table.WriteMarkdown(terminal.Out);
            terminal.Out.WriteLine();
        }

        terminal.Out.WriteLine($"Recommended schedule: {result.Recommendation.Schedule}");
        notes.Write($"Report written to {Path.Combine(report, PageName)}");
        return ExitCode.Success;
    }

    private IReadOnlyList<IEvaluationTask> Tasks(ParseResult arguments, RecallTask? recall, LlamaEngine engine) => arguments.GetValue(_task) switch
    {
        "recall" => _recall.Tasks(arguments, recall!, _flags.Seed(arguments)),
        "longbench" => _longBench.Tasks(arguments, _longBench.Config(arguments) ?? throw new UsageException("--config: 'longbench' needs the benchmark's config folder, and --data."), _longBench.Datasets(arguments), engine),
        "file" => [_taskFile.Read(arguments, _longBench.Records, engine) ?? throw new UsageException("--file: '--task file' needs the task's jsonl file.")],
        var unknown => throw new UsageException($"--task: '{unknown}' is unknown, expected recall, longbench or file."),
    };
}
