using System.CommandLine;
using System.Globalization;
using System.Text;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Options;

/// <summary>Where a prompt comes from: an argument, a file, standard input, or token ids.</summary>
internal sealed class PromptFlags
{
    private readonly Argument<string?> _text = new("prompt")
    {
        Description = "The prompt; '-' reads standard input.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string?> _file = new("--prompt-file", "-f") { Description = "Read the prompt from a file in UTF-8 ('-' for standard input).", HelpName = "FILE" };

    private readonly Option<string?> _ids = new("--prompt-ids") { Description = "The prompt as token ids, for example 1,17,9. Needs no tokenizer.", HelpName = "IDS" };

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        command.Arguments.Add(_text);
        command.Options.Add(_file);
        command.Options.Add(_ids);
    }

    /// <summary>Reads the prompt, before a model is loaded in vain.</summary>
    /// <exception cref="UsageException">None was given, or more than one.</exception>
    public Prompt Read(ParseResult arguments, Terminal terminal)
    {
        string? text = arguments.GetValue(_text);
        string? file = arguments.GetValue(_file);
        string? ids = arguments.GetValue(_ids);
        int given = (text is null ? 0 : 1) + (file is null ? 0 : 1) + (ids is null ? 0 : 1);
        if (given != 1)
        {
            throw new UsageException($"prompt: found {(given == 0 ? "none" : "more than one")}, expected one of a text, --prompt-file FILE, --prompt-ids IDS, or '-' for standard input.");
        }

        if (ids is not null)
        {
            return new Prompt(null, ParseIds(ids));
        }

        bool isStandardInput = (text ?? file) == "-";
        if (isStandardInput && terminal.IsInputTerminal)
        {
            terminal.Error.WriteLine("Type the prompt, then Ctrl+D on a line of its own.");
        }

        // An editor's or echo's line break at the end of a file is not part of the prompt.
        return new Prompt(isStandardInput ? WithoutLastBreak(terminal.ReadAll()) : text ?? WithoutLastBreak(ReadFile(file!)), null);
    }

    /// <summary>Reads token ids from their text form.</summary>
    /// <exception cref="UsageException">A part is no number.</exception>
    public static int[] ParseIds(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
        int[] ids = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out ids[i]))
            {
                throw new UsageException($"--prompt-ids: found '{parts[i]}', expected token ids with commas between them, for example 1,17,9.");
            }
        }

        return ids;
    }

    private static string ReadFile(string path)
    {
        if (Directory.Exists(path))
        {
            throw new IOException($"--prompt-file: {path} is a folder, expected a file.");
        }

        return File.ReadAllText(path, Encoding.UTF8);
    }

    private static string WithoutLastBreak(string text) =>
        text.EndsWith("\r\n", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('\n') ? text[..^1] : text;
}
