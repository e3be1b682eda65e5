using System.CommandLine;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary><c>lazyllm eval task</c>: a task of the user's own.</summary>
internal sealed class TaskCommand
{
    private readonly EvalFlags _flags = new(modelIsRequired: true);
    private readonly TaskFlags _task = new(isRequired: true);
    private readonly RecordFlags _records = new();
    private readonly ScheduleFlags _schedules = new();

    private TaskCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var task = new TaskCommand();
        var command = new Command("task", "Run a task of your own: questions about documents in a jsonl file, with a metric.");
        task._task.AddTo(command);
        task._records.AddTo(command);
        task._schedules.AddTo(command);
        task._flags.AddTo(command);
        command.SetAction((arguments, cancellation) => task.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        var schedules = _schedules.Read(arguments);
        using LlamaEngine engine = await _flags.LoadAsync(arguments, new Notes(terminal, arguments), cancellation).ConfigureAwait(false);
        RecordTask task = _task.Read(arguments, _records, engine)!;
        var methods = MethodSet.Create(_flags.Families(arguments), schedules, engine.Config.LayerCount);
        var runner = new EvaluationRunner(new ItemRunner(engine, engine.Tokenizer!, _flags.Seed(arguments)), [task], methods);
        IReadOnlyList<EvaluationResult> results = _flags.Run(
            arguments,
            terminal,
            runner.Describe(ModelDigest.Compute(_flags.Folder(arguments), cancellation)),
            (log, progress) => runner.Run(log, progress, cancellation));
        TableOutput.Write(terminal, results);
        return ExitCode.Success;
    }
}
