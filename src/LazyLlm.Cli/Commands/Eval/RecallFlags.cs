using System.CommandLine;
using System.Globalization;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>The options that say which recall documents are made.</summary>
internal sealed class RecallFlags(string lengths = "", string depths = "", int documents = 8)
{
    private readonly Option<string> _lengths = new("--lengths")
    {
        Description = "Lengths of the prompts in tokens.",
        HelpName = "LIST",
        DefaultValueFactory = _ => lengths.Length > 0 ? lengths : string.Join(',', RecallBenchmark.DefaultLengths),
    };

    private readonly Option<string> _depths = new("--depths")
    {
        Description = "Where in the document the first question's fact stands: 0 first, 1 last.",
        HelpName = "LIST",
        DefaultValueFactory = _ => depths.Length > 0 ? depths : string.Join(',', RecallBenchmark.DefaultDepths.Select(depth => depth.ToString(CultureInfo.InvariantCulture))),
    };

    private readonly Option<int> _documents = new("--documents") { Description = "Documents per length and depth.", HelpName = "N", DefaultValueFactory = _ => documents };

    private readonly Option<int> _followUps = new("--follow-ups") { Description = "Questions about other facts after the first, in the same session.", HelpName = "N", DefaultValueFactory = _ => 1 };

    public void AddTo(Command command)
    {
        command.Options.Add(_lengths);
        command.Options.Add(_depths);
        command.Options.Add(_documents);
        command.Options.Add(_followUps);
    }

    /// <summary>The documents that the command line asks for.</summary>
    public IReadOnlyList<IEvaluationTask> Tasks(ParseResult arguments, RecallTask recall, ulong seed)
    {
        int followUps = arguments.GetValue(_followUps);
        return RecallBenchmark.Create(
            recall,
            EvalFlags.Numbers("--lengths", arguments.GetValue(_lengths)!, 1, int.MaxValue),
            EvalFlags.Numbers("--depths", arguments.GetValue(_depths)!, 0.0, 1.0),
            EvalFlags.Positive(arguments, _documents),
            followUps >= 0 ? followUps : throw new UsageException($"--follow-ups: found {followUps}, expected 0 or more."),
            seed);
    }

    /// <summary>The words and forms that the model was trained on, its tokenizer counting.</summary>
    public static RecallTask Load(string folder, LlamaEngine engine) =>
        RecallTask.Load(folder, sentence => engine.Tokenizer!.EncodeContinuation(" " + sentence).Length);
}
