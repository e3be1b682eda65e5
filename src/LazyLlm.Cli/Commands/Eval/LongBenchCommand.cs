using System.CommandLine;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.LongBench;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Reports;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary><c>lazyllm eval longbench</c>: the paper's Tables 1 and 2 from the user's copy of the benchmark.</summary>
internal sealed class LongBenchCommand
{
    private readonly EvalFlags _flags = new(modelIsRequired: true);
    private readonly LongBenchFlags _longBench = new(isRequired: true);
    private readonly ScheduleFlags _schedules = new();

    private LongBenchCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var longBench = new LongBenchCommand();
        var command = new Command("longbench", "Run LongBench's 14 English and 2 code datasets: the paper's Tables 1 and 2.");
        longBench._longBench.AddTo(command);
        longBench._schedules.AddTo(command);
        longBench._flags.AddTo(command);
        command.SetAction((arguments, cancellation) => longBench.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        // What the command line and the files say is checked before the model is loaded.
        var schedules = _schedules.Read(arguments);
        LongBenchConfig config = _longBench.Config(arguments)!;
        IReadOnlyList<LongBenchDataset> datasets = _longBench.Datasets(arguments);
        using LlamaEngine engine = await _flags.LoadAsync(arguments, new Notes(terminal, arguments), cancellation).ConfigureAwait(false);
        IReadOnlyList<IEvaluationTask> tasks = _longBench.Tasks(arguments, config, datasets, engine);
        var methods = MethodSet.Create(_flags.Families(arguments), schedules, engine.Config.LayerCount);
        var runner = new EvaluationRunner(new ItemRunner(engine, engine.Tokenizer!, _flags.Seed(arguments)), tasks, methods);
        IReadOnlyList<EvaluationResult> results = _flags.Run(
            arguments,
            terminal,
            runner.Describe(ModelDigest.Compute(_flags.Folder(arguments), cancellation)),
            (log, progress) => runner.Run(log, progress, cancellation));
        TableOutput.Write(terminal, results);
        return ExitCode.Success;
    }
}
