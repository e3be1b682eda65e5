using System.CommandLine;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Evaluation.Reports;
using LazyLlm.Evaluation.Running;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary><c>lazyllm eval recall</c>: facts in long documents, by method, length and depth.</summary>
internal sealed class RecallCommand
{
    private readonly EvalFlags _flags = new(modelIsRequired: false);
    private readonly RecallFlags _recall = new();

    private readonly Option<string[]> _schedules = new("--schedules")
    {
        Description = "LazyLLM's schedules, parted by spaces or '|'. By default what suits the model (its recall-task.json), the same without selection options, 'fast' and 'paper'.",
        HelpName = "SCHEDULE",
        AllowMultipleArgumentsPerToken = true,
    };

    private RecallCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var recall = new RecallCommand();
        var command = new Command("recall", "Ask for facts in generated long documents, once and again in the same session. Runs on the embedded model in minutes.") { recall._schedules };
        recall._recall.AddTo(command);
        recall._flags.AddTo(command);
        command.SetAction((arguments, cancellation) => recall.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        var notes = new Notes(terminal, arguments);
        string folder = _flags.Folder(arguments);
        using LlamaEngine engine = await _flags.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false);
        RecallTask recall = RecallFlags.Load(folder, engine);
        var tasks = _recall.Tasks(arguments, recall, _flags.Seed(arguments));
        IReadOnlyList<PruningSchedule> schedules = arguments.GetValue(_schedules) is { Length: > 0 } texts ? EvalFlags.Schedules(texts) : Defaults(recall);
        var methods = MethodSet.Create(_flags.Families(arguments), schedules, engine.Config.LayerCount);
        var runner = new EvaluationRunner(new ItemRunner(engine, engine.Tokenizer!, _flags.Seed(arguments)), tasks, methods);
        IReadOnlyList<EvaluationResult> results = _flags.Run(
            arguments,
            terminal,
            runner.Describe(ModelDigest.Compute(folder, cancellation)),
            (log, progress) => runner.Run(log, progress, cancellation));

        terminal.Out.WriteLine("All documents:");
        ResultTable.Recall("All documents", ResultSummary.Overall(results)).WriteMarkdown(terminal.Out);
        terminal.Out.WriteLine();
        terminal.Out.WriteLine("By length and depth of the first fact:");
        ResultTable.Recall("By length and depth", ResultSummary.ByDataset(results)).WriteMarkdown(terminal.Out);
        return ExitCode.Success;
    }

    private static IReadOnlyList<PruningSchedule> Defaults(RecallTask recall)
    {
        var suited = PruningSchedule.Parse(recall.RecommendedSchedule ?? "paper");
        return [suited, suited.With(SelectionRule.Default), PruningSchedule.Fast.With(suited.Rule), PruningSchedule.Paper.With(suited.Rule)];
    }
}
