using System.CommandLine;
using LazyLlm.Cli.Demo;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm demo</c>: two questions about one long document, dense and under LazyLLM side by side.</summary>
internal sealed class DemoCommand
{
    private readonly ModelFlags _model = new(isRequired: false);
    private readonly Option<int> _length = new("--length") { Description = "Length of the document and its question, in tokens.", HelpName = "TOKENS", DefaultValueFactory = _ => 1000 };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Which document is made, and which facts are asked about.", HelpName = "N", DefaultValueFactory = _ => 1 };
    private readonly Option<string?> _document = new("--document") { Description = "Read a document of your own ('-' for standard input); its sentences 'NAME keeps the OBJECT in the PLACE.' are asked about.", HelpName = "FILE" };
    private readonly Option<string?> _prune = new("--prune", "-p") { Description = "Pruning schedule to show beside the dense model; the one that suits the demo model by default.", HelpName = "SCHEDULE" };
    private readonly Option<int> _runs = new("--runs") { Description = "Timed runs of each side; the median counts.", HelpName = "N", DefaultValueFactory = _ => 5 };
    private readonly Option<bool> _json = new("--json") { Description = "Write the figures as JSON." };

    private DemoCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var demo = new DemoCommand();
        var command = new Command("demo", "Ask a small model two questions about a long document, dense and under LazyLLM side by side.")
        {
            demo._length, demo._seed, demo._document, demo._prune, demo._runs, demo._json,
        };
        demo._model.AddTo(command);
        command.SetAction((arguments, cancellation) => demo.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        int runs = arguments.GetValue(_runs);
        if (runs is < 1 or > 1000)
        {
            throw new UsageException($"--runs: found {runs}, expected 1 to 1000.");
        }

        string folder = _model.Folder(arguments) ?? DemoModel.Find();
        var notes = new Notes(terminal, arguments);
        using LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation, folder).ConfigureAwait(false);
        TextTokenizer tokenizer = engine.RequireTokenizer();
        RecallTask task = RecallTask.Load(folder, sentence => tokenizer.EncodeContinuation(" " + sentence).Length);
        RecallDocument document = ReadDocument(arguments, terminal, task);
        PruningSchedule schedule = PruningSchedule.Parse(arguments.GetValue(_prune) ?? task.RecommendedSchedule ?? "paper");

        using Notes.PrefillBar? bar = notes.CreatePrefillBar();
        var dense = new DemoSide(PruningSchedule.None);
        var lazy = new DemoSide(schedule);
        for (int run = 0; run <= runs; run++)
        {
            foreach (DemoSide side in (DemoSide[])[dense, lazy])
            {
                DemoRun result = await DemoRun.RunAsync(engine, side.Schedule, document, isTraced: false, bar, cancellation).ConfigureAwait(false);
                if (run > 0)
                {
                    side.Add(result);
                }
            }
        }

        var report = new DemoReport(engine, document, dense, lazy, runs);
        if (arguments.GetValue(_json))
        {
            JsonText.Write(terminal.Out, report.WriteJson);
            return ExitCode.Success;
        }

        report.WriteTable(terminal.Out);
        if (!notes.IsQuiet)
        {
            DemoRun traced = await DemoRun.RunAsync(engine, schedule, document, isTraced: true, bar, cancellation).ConfigureAwait(false);
            notes.Write("");
            notes.Draw(console => DemoReport.Draw(console, traced));
        }

        return ExitCode.Success;
    }

    private RecallDocument ReadDocument(ParseResult arguments, Terminal terminal, RecallTask task)
    {
        ulong seed = arguments.GetValue(_seed);
        return arguments.GetValue(_document) switch
        {
            null => task.CreateDocument(new RecallDocumentOptions { TokenLength = arguments.GetValue(_length), Seed = seed }),
            "-" => task.ReadDocument(terminal.ReadAll(), seed),
            string path => task.ReadDocument(File.ReadAllText(path), seed),
        };
    }
}
