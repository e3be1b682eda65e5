using System.CommandLine;
using System.Globalization;
using LazyLlm.Cli.Demo;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Running;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>The options that every evaluation has: model, methods, seed, and where results are kept.</summary>
internal sealed class EvalFlags
{
    private readonly ModelFlags _model;

    private readonly Option<string> _methods = new("--methods")
    {
        Description = $"Methods to compare, of {string.Join(", ", MethodSet.Families)}. The baselines run at the cost of each schedule.",
        HelpName = "LIST",
        DefaultValueFactory = _ => string.Join(',', MethodSet.Families),
    };

    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of every random choice.", HelpName = "N", DefaultValueFactory = _ => 1 };

    private readonly Option<string?> _output = new("--output", "-o")
    {
        Description = "Keep results in a file, one JSON object per line, as they come; the same command goes on where it was stopped.",
        HelpName = "FILE",
    };

    public EvalFlags(bool modelIsRequired)
    {
        _model = new ModelFlags(modelIsRequired);
    }

    public void AddTo(Command command)
    {
        command.Options.Add(_methods);
        command.Options.Add(_seed);
        command.Options.Add(_output);
        _model.AddTo(command);
    }

    public ulong Seed(ParseResult arguments) => arguments.GetValue(_seed);

    /// <summary>The method families, in the order of the paper's tables; the dense model is always among them.</summary>
    public IReadOnlyList<string> Families(ParseResult arguments) => [.. Values(arguments.GetValue(_methods)!).Prepend(MethodSet.Families[0]).Distinct()];

    /// <summary>The folder of the model that <see cref="LoadAsync"/> loads.</summary>
    public string Folder(ParseResult arguments) => _model.Folder(arguments) ?? DemoModel.Find();

    /// <summary>Loads the model and checks that it can read text.</summary>
    public async Task<LlamaEngine> LoadAsync(ParseResult arguments, Notes notes, CancellationToken cancellation)
    {
        string folder = Folder(arguments);
        LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation, folder).ConfigureAwait(false);
        try
        {
            engine.RequireTokenizer();
            return engine;
        }
        catch
        {
            engine.Dispose();
            throw;
        }
    }

    /// <summary>Runs an evaluation that may go on from a file of results, with its progress drawn.</summary>
    public T Run<T>(ParseResult arguments, Terminal terminal, string description, Func<ResultLog?, IProgress<EvaluationProgress>?, T> run)
    {
        var notes = new Notes(terminal, arguments);
        using EvaluationBar? bar = notes.IsQuiet || !terminal.IsErrorTerminal ? null : new EvaluationBar(terminal);
        if (arguments.GetValue(_output) is not string path)
        {
            return run(null, bar);
        }

        using var log = ResultLog.Open(path, description);
        if (log.Results.Count > 0)
        {
            notes.Write($"Going on from {log.Results.Count.ToString(CultureInfo.InvariantCulture)} results in {path}.");
        }

        return run(log, bar);
    }

    /// <summary>The schedules of an option; each of its arguments may hold several, parted by <c>|</c>.</summary>
    public static IReadOnlyList<PruningSchedule> Schedules(IEnumerable<string> texts) =>
        [.. texts.SelectMany(text => text.Split('|', StringSplitOptions.TrimEntries)).Select(PruningSchedule.Parse)];

    /// <summary>The parts of a list that commas part.</summary>
    public static string[] Values(string list) => list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The numbers of a list that commas part.</summary>
    public static T[] Numbers<T>(string option, string list, T least, T most)
        where T : struct, ISpanParsable<T>, IComparable<T>
        => [.. Values(list).Select(text => T.TryParse(text, CultureInfo.InvariantCulture, out T number) && number.CompareTo(least) >= 0 && number.CompareTo(most) <= 0
            ? number
            : throw new UsageException($"{option}: '{text}' is not a number from {least} to {most}."))];

    /// <summary>The value of an option that has to be 1 or more.</summary>
    public static int Positive(ParseResult arguments, Option<int> option) => arguments.GetValue(option) is > 0 and int value
        ? value
        : throw new InvalidOptionException(option.Name, $"found {arguments.GetValue(option)}, expected 1 or more.");

    /// <summary>The command line as it could be typed again.</summary>
    public static string CommandLine(ParseResult arguments) => $"lazyllm {string.Join(' ', arguments.Tokens.Select(token =>
        token.Value.All(character => char.IsLetterOrDigit(character) || "-_./:,=".Contains(character, StringComparison.Ordinal)) ? token.Value : $"\"{token.Value}\""))}";

    private sealed class EvaluationBar(Terminal terminal) : IProgress<EvaluationProgress>, IDisposable
    {
        private readonly ProgressLine _line = new(terminal);

        public void Report(EvaluationProgress value) => _line.Show(
            "Evaluating",
            value.Done,
            value.Total,
            $"{value.Done} of {value.Total}{(value.TimeLeft is TimeSpan left ? $", {left.ToString(left.TotalHours >= 1 ? @"h\:mm\:ss" : @"m\:ss", CultureInfo.InvariantCulture)} left" : "")}  {value.What}");

        public void Dispose() => _line.Dispose();
    }
}
