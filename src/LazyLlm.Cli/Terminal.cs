using System.Text;

namespace LazyLlm.Cli;

/// <summary>
/// The streams of a run and what is known of the people behind them. Standard output carries data only; what is there
/// to be looked at (progress, drawings, notes, errors) goes to standard error.
/// </summary>
internal sealed class Terminal
{
    private readonly Lazy<TextReader> _input;

    /// <summary>Streams of a test, or of another program.</summary>
    public Terminal(TextReader input, TextWriter output, TextWriter error)
        : this(new Lazy<TextReader>(input), output, error)
    {
    }

    private Terminal(Lazy<TextReader> input, TextWriter output, TextWriter error)
    {
        _input = input;
        Out = output;
        Error = error;
    }

    public TextReader In => _input.Value;

    public TextWriter Out { get; }

    public TextWriter Error { get; }

    /// <summary>Whether standard error goes to a person's terminal: only then is progress drawn.</summary>
    public bool IsErrorTerminal { get; init; }

    /// <summary>Whether standard input is a person's terminal.</summary>
    public bool IsInputTerminal { get; init; }

    /// <summary>Whether drawings may use colour: on a terminal, unless NO_COLOR is set.</summary>
    public bool HasColor { get; init; }

    /// <summary>Columns of the terminal; 80 where there is none.</summary>
    public int Width { get; init; } = 80;

    /// <summary>What Ctrl+C does.</summary>
    public Interrupt Interrupt { get; init; } = new();

    /// <summary>The process's own streams, in UTF-8.</summary>
    public static Terminal OfProcess(Interrupt interrupt)
    {
        var encoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        bool isTerminal = !Console.IsErrorRedirected;
        return new Terminal(
            new Lazy<TextReader>(() => Console.In),
            new StreamWriter(Console.OpenStandardOutput(), encoding) { AutoFlush = true },
            new StreamWriter(Console.OpenStandardError(), encoding) { AutoFlush = true })
        {
            IsErrorTerminal = isTerminal,
            IsInputTerminal = !Console.IsInputRedirected,
            HasColor = isTerminal
                && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"))
                && Environment.GetEnvironmentVariable("TERM") != "dumb",
            Width = isTerminal ? Math.Clamp(TerminalWidth(), 40, 200) : 80,
            Interrupt = interrupt,
        };
    }

    /// <summary>Reads standard input to its end.</summary>
    public string ReadAll() => Interrupt.WaitForInput(In.ReadToEnd);

    private static int TerminalWidth()
    {
        try
        {
            return Console.WindowWidth is > 0 and int width ? width : 80;
        }
        catch (IOException)
        {
            return 80;
        }
    }
}
