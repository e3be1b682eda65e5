using System.CommandLine;
using LazyLlm.Cli.Commands.Eval;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.Speed;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Commands.Bench;

/// <summary><c>lazyllm bench</c>: how fast a model, or random weights in its shape, runs on a device, dense and pruned.</summary>
internal sealed class BenchCommand
{
    private static readonly int[] StandardLengths = [256, 512, 1024, 2048, 4096];

    private readonly ModelFlags _model = new(isRequired: false);
    private readonly Option<string?> _shape = new("--shape")
    {
        Description = $"Random weights in a known shape in place of --model: {string.Join(", ", ModelShapes.Names)}.",
        HelpName = "NAME",
    };

    private readonly Option<int?> _layers = new("--layers") { Description = "With --shape: this many layers in place of all.", HelpName = "N" };
    private readonly Option<string?> _lengths = new("--lengths") { Description = "Prompt lengths in tokens, with commas between them; powers of two from 256 to 4096 that fit by default.", HelpName = "LIST" };
    private readonly Option<string[]> _prune = new("--prune", "-p")
    {
        Description = "A pruning schedule to hold against the dense model; may be given several times. 'paper' and 'fast' by default, 'none' for the dense model alone.",
        HelpName = "SCHEDULE",
    };

    private readonly Option<string> _batch = new("--batch") { Description = "Sequences at a time, with commas between numbers; more than 1 go through the scheduler.", HelpName = "LIST", DefaultValueFactory = _ => "1" };
    private readonly Option<int> _decode = new("--decode") { Description = "Tokens to generate after the first one.", HelpName = "N", DefaultValueFactory = _ => 32 };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Rounds that count; figures are their medians.", HelpName = "N", DefaultValueFactory = _ => 5 };
    private readonly Option<int> _warmUp = new("--warm-up") { Description = "Rounds before those, which count for nothing.", HelpName = "N", DefaultValueFactory = _ => 1 };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the prompts' random tokens.", HelpName = "N", DefaultValueFactory = _ => 1 };
    private readonly Option<string?> _json = new("--json") { Description = "Write all figures as JSON to a file; without FILE, to standard output in place of the table.", HelpName = "FILE", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _plot = new("--plot") { Description = "Folder for the figures as PNG and SVG.", HelpName = "DIR" };
    private readonly Option<string?> _profile = new("--profile-range")
    {
        Description = "Have an attached profiler (ncu, nsys) collect the rounds that count: all of them, or only their prompts or their tokens. Needs a GPU.",
        HelpName = "all|prefill|decode",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private BenchCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var bench = new BenchCommand();
        var command = new Command("bench", "Time whole runs, dense and pruned: first token, tokens after it, memory, and what counting operations promises.")
        {
            bench._shape, bench._layers, bench._lengths, bench._prune, bench._batch, bench._decode, bench._rounds, bench._warmUp, bench._seed, bench._json, bench._plot, bench._profile,
        };
        bench._model.AddTo(command);
        command.SetAction((arguments, cancellation) => bench.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private ProfiledPart Profiled(ParseResult arguments) => arguments.GetResult(_profile) is null ? ProfiledPart.None : arguments.GetValue(_profile) switch
    {
        null or "all" => ProfiledPart.All,
        "prefill" => ProfiledPart.Prefill,
        "decode" => ProfiledPart.Decode,
        string other => throw new UsageException($"--profile-range: found '{other}', expected all, prefill or decode."),
    };

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        var notes = new Notes(terminal, arguments);
        int[]? lengths = arguments.GetValue(_lengths) is string list ? Numbers(_lengths.Name, list) : null;
        string[] named = arguments.GetValue(_prune) is { Length: > 0 } given ? given : ["paper", "fast"];
        var options = new SpeedOptions
        {
            Lengths = [],
            Schedules = [.. named.Select(PruningSchedule.Parse)],
            Batches = Numbers(_batch.Name, arguments.GetValue(_batch)!),
            DecodeTokens = arguments.GetValue(_decode),
            Rounds = arguments.GetValue(_rounds),
            WarmUps = arguments.GetValue(_warmUp),
            Seed = arguments.GetValue(_seed),
            Profiled = Profiled(arguments),
        };

        // A folder that cannot be written to is told of before anything has run.
        string? plots = arguments.GetValue(_plot) is string folder ? Directory.CreateDirectory(folder).FullName : null;
        bool hasJson = arguments.GetResult(_json) is not null;
        using StreamWriter? file = hasJson && arguments.GetValue(_json) is string path ? new StreamWriter(path) : null;
        using LlamaEngine engine = await LoadAsync(arguments, lengths, options.DecodeTokens, notes, cancellation).ConfigureAwait(false);
        options = options with { Lengths = lengths ?? LengthsFor(engine.ContextLength - options.DecodeTokens) };
        IReadOnlyList<SpeedResult> results;
        using (SpeedBar? bar = notes.IsQuiet || !terminal.IsErrorTerminal ? null : new SpeedBar(terminal))
        {
            results = await new SpeedBenchmark(engine, options).RunAsync(bar, cancellation).ConfigureAwait(false);
        }

        var report = new BenchReport(EvalFlags.CommandLine(arguments), arguments.GetValue(_shape), engine, options, results);
        if (hasJson)
        {
            JsonText.Write(file ?? terminal.Out, report.WriteJson);
        }

        if (!hasJson || file is not null)
        {
            report.WriteTables(terminal.Out);
        }

        if (plots is not null)
        {
            if (LineFigure.MissingFonts is string fonts)
            {
                notes.Write(fonts);
            }

            foreach (LineFigure figure in SpeedFigures.Draw(results))
            {
                using (figure)
                {
                    figure.Save(plots);
                    notes.Write($"{figure.Title}: {Path.Combine(plots, figure.Name)}.png");
                }
            }
        }

        return ExitCode.Success;
    }

    private static int[] Numbers(string option, string list) => EvalFlags.Numbers(option, list, 1, 1 << 20) is { Length: > 0 } numbers
        ? [.. numbers.Distinct().Order()]
        : throw new UsageException($"{option}: found no number, expected at least one, for example 1024,2048.");

    private static int[] LengthsFor(int room) => [.. StandardLengths.Where(length => length <= room).DefaultIfEmpty(Math.Max(1, room))];

    private async Task<LlamaEngine> LoadAsync(ParseResult arguments, int[]? lengths, int decoded, Notes notes, CancellationToken cancellation)
    {
        string? shape = arguments.GetValue(_shape);
        string? folder = _model.Folder(arguments);
        if ((shape is null) == (folder is null))
        {
            throw new UsageException($"model: found {(shape is null ? "none" : "both --model and --shape")}, expected one of --model DIR and --shape NAME.");
        }

        int? layers = arguments.GetValue(_layers);
        if (shape is null)
        {
            return layers is null
                ? await _model.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false)
                : throw new UsageException("--layers: only random weights can have fewer layers; use it with --shape.");
        }

        if (layers is < 1)
        {
            throw new UsageException($"--layers: found {layers}, expected 1 or more.");
        }

        ModelConfig config = ModelShapes.Find(shape);

        // Random weights were made for no context: it is as long as what is to run.
        int context = _model.Context(arguments) ?? checked((lengths?[^1] ?? StandardLengths[^1]) + Math.Max(0, decoded));
        using var weights = new RandomWeights(config with { LayerCount = layers ?? config.LayerCount, ContextLength = Math.Max(1, context) });
        return await _model.LoadAsync(arguments, weights, notes, cancellation).ConfigureAwait(false);
    }

    private sealed class SpeedBar(Terminal terminal) : IProgress<SpeedProgress>, IDisposable
    {
        private readonly ProgressLine _line = new(terminal);

        public void Report(SpeedProgress value) => _line.Show(
            "Measuring",
            value.Done,
            value.Total,
            $"{Units.Count(value.Case.Length)} tokens{(value.Case.Batch > 1 ? $" x {Units.Count(value.Case.Batch)}" : "")}, {value.Case.Schedule}");

        public void Dispose() => _line.Dispose();
    }
}
