using System.CommandLine;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using Spectre.Console;

namespace LazyLlm.Cli.Output;

/// <summary>What a run says to people, on standard error: notes, drawings and progress. Nothing of it where <c>--quiet</c> is given.</summary>
internal sealed class Notes(Terminal terminal, bool isQuiet)
{
    private const string QuietName = "--quiet";

    /// <summary>Notes for a command line.</summary>
    public Notes(Terminal terminal, ParseResult arguments)
        : this(terminal, arguments.GetValue<bool>(QuietName))
    {
    }

    /// <summary>Whether people want to see anything but results and errors.</summary>
    public bool IsQuiet => isQuiet;

    /// <summary>The flag, to stand on the root command.</summary>
    public static Option<bool> CreateQuietFlag() => new(QuietName, "-q")
    {
        Description = "No progress, notes or drawings on standard error; errors only.",
        Recursive = true,
    };

    /// <summary>Writes one line.</summary>
    public void Write(string line)
    {
        if (!isQuiet)
        {
            terminal.Error.WriteLine(line);
        }
    }

    /// <summary>Writes the figures of a run in one line.</summary>
    public void WriteStatistics(RunStatistics run)
    {
        string work = run.Stages.Length > 1 ? $", {Units.Share(run.ComputedShare)} of the dense pairs computed" : "";
        string pace = run.GeneratedTokens > 1 ? $", then {Units.Time(run.TimePerOutputToken)} per token" : "";
        Write($"[{Units.Count(run.PromptTokens)} prompt tokens, first token after {Units.Time(run.TimeToFirstToken)}{pace}; {Units.Count(run.GeneratedTokens)} tokens{work}, K/V {Units.Bytes(run.KeyValueBytes)}]");
    }

    /// <summary>Draws, in colour where the terminal has it.</summary>
    public void Draw(Action<IAnsiConsole> draw)
    {
        if (isQuiet)
        {
            return;
        }

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(terminal.Error),
            Ansi = terminal.HasColor ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = terminal.HasColor ? ColorSystemSupport.EightBit : ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
        });
        console.Profile.Width = terminal.Width;
        draw(console);
    }

    /// <summary>Progress of loading, if there is a terminal to draw it on.</summary>
    public LoadingBar? CreateLoadingBar() => CreateLine() is ProgressLine line ? new LoadingBar(line) : null;

    /// <summary>Progress of long prefills, if there is a terminal to draw it on.</summary>
    public PrefillBar? CreatePrefillBar() => CreateLine() is ProgressLine line ? new PrefillBar(line) : null;

    private ProgressLine? CreateLine() => isQuiet || !terminal.IsErrorTerminal ? null : new ProgressLine(terminal);

    /// <summary>Draws the loading of a model.</summary>
    internal sealed class LoadingBar(ProgressLine line) : IProgress<LoadProgress>, IDisposable
    {
        public void Report(LoadProgress value) =>
            line.Show("Loading", value.BytesRead, value.BytesTotal, $"{Units.Bytes(value.BytesRead)} of {Units.Bytes(value.BytesTotal)}");

        public void Dispose() => line.Dispose();
    }

    /// <summary>Draws the layers of a long step; steps of few tokens go by unseen.</summary>
    internal sealed class PrefillBar(ProgressLine line) : IProgress<PrefillProgress>, IDisposable
    {
        private const int LongStep = 64;

        public void Report(PrefillProgress value)
        {
            if (value.Tokens < LongStep)
            {
                return;
            }

            line.Show("Prefill", value.LayersDone, value.LayerCount, $"layer {value.LayersDone} of {value.LayerCount}, {value.Tokens:N0} tokens");
            if (value.LayersDone == value.LayerCount)
            {
                line.Clear();
            }
        }

        public void Dispose() => line.Dispose();
    }
}
