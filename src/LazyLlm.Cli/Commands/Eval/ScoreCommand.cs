using System.CommandLine;
using System.Text;
using LazyLlm.Evaluation.Metrics;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary><c>lazyllm eval score</c>: scores pairs of prediction and answer that someone else made.</summary>
internal static class ScoreCommand
{
    public static Command Create(Terminal terminal)
    {
        var input = new Option<string>("--input")
        {
            Description = "JSON: metric name (qa_f1, rouge_l, classification, retrieval, count, code_sim) to a list of {prediction, ground_truth, all_classes}.",
            HelpName = "FILE",
            Required = true,
        };
        var output = new Option<string?>("--output", "-o") { Description = "Write to a file in place of standard output.", HelpName = "FILE" };
        var command = new Command("score", "Score predictions with LongBench's metrics: writes the input with a 'score' in each entry.") { input, output };
        command.SetAction(arguments =>
        {
            using var scored = new MemoryStream();
            ScoreFile.Score(arguments.GetValue(input)!, scored);
            if (arguments.GetValue(output) is string path)
            {
                File.WriteAllBytes(path, scored.ToArray());
            }
            else
            {
                terminal.Out.WriteLine(Encoding.UTF8.GetString(scored.ToArray()));
            }

            return ExitCode.Success;
        });
        return command;
    }
}
