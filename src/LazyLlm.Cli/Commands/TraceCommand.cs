using System.CommandLine;
using System.Text;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Cli.Tracing;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm trace</c>: which tokens every stage of every step kept, as data, as a drawing and as a page.</summary>
internal sealed class TraceCommand
{
    private readonly ModelFlags _model = new();
    private readonly PromptFlags _prompt = new();
    private readonly PruneFlag _prune = new("paper");
    private readonly Option<int> _steps = new("--steps") { Description = "Steps to run: the prompt is one, and each token after it another.", HelpName = "N", DefaultValueFactory = _ => 8 };
    private readonly Option<string?> _output = new("--output", "-o") { Description = "Write the trace as JSON to a file, or to standard output ('-').", HelpName = "FILE" };
    private readonly Option<string?> _html = new("--html") { Description = "Write the trace as one self-contained page.", HelpName = "FILE" };
    private readonly Option<bool> _json = new("--json") { Description = "The same as --output -." };

    private TraceCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var trace = new TraceCommand();
        var command = new Command("trace", "Show which tokens of a prompt survive to which stage, step by step.") { trace._steps, trace._output, trace._html, trace._json };
        trace._prompt.AddTo(command);
        trace._model.AddTo(command);
        trace._prune.AddTo(command);
        command.SetAction((arguments, cancellation) => trace.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        int steps = arguments.GetValue(_steps);
        if (steps < 1)
        {
            throw new UsageException($"--steps: found {steps}, expected 1 or more.");
        }

        var schedule = _prune.Read(arguments);
        Prompt prompt = _prompt.Read(arguments, terminal);
        var notes = new Notes(terminal, arguments);
        using LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false);
        int[] tokens = prompt.Encode(engine);
        if (tokens.Length + steps - 1 > engine.ContextLength)
        {
            throw new Native.Errors.ContextLengthException((long)tokens.Length + steps - 1, engine.ContextLength);
        }

        PruningTrace trace;
        using (Notes.PrefillBar? bar = notes.CreatePrefillBar())
        {
            trace = PruningTrace.Record(engine, schedule, tokens, steps, bar, cancellation);
        }

        notes.Draw(console => SurvivalMap.Draw(console, trace));
        string? output = arguments.GetValue(_output) ?? (arguments.GetValue(_json) ? "-" : null);
        if (output == "-")
        {
            TraceJson.Write(terminal.Out, trace);
        }
        else if (output is not null)
        {
            WriteFile(output, writer => TraceJson.Write(writer, trace));
            notes.Write($"Trace written to {output}");
        }

        if (arguments.GetValue(_html) is string page)
        {
            WriteFile(page, writer => TraceHtml.Write(writer, trace));
            notes.Write($"Page written to {page}");
        }

        return ExitCode.Success;
    }

    private static void WriteFile(string path, Action<TextWriter> write)
    {
        if (path.Length == 0)
        {
            throw new UsageException("--output or --html: found an empty path, expected a file.");
        }

        using var writer = new StreamWriter(path, append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { NewLine = "\n" };
        write(writer);
    }
}
