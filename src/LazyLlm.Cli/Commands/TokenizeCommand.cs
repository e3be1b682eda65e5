using System.CommandLine;
using System.Globalization;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Cli.Tracing;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm tokenize</c>: text to token ids, or back. Reads no weights.</summary>
internal sealed class TokenizeCommand
{
    private readonly Option<string> _model = new("--model", "-m") { Description = "Model folder whose tokenizer to use.", HelpName = "DIR", Required = true };
    private readonly Option<string?> _tokenizer = new("--tokenizer") { Description = "Tokenizer file (*.model or *.tiktoken) in place of the one in the model folder.", HelpName = "FILE" };
    private readonly Option<bool> _continuation = new("--continuation") { Description = "The text goes on where other text stopped: no begin token, no space before it." };
    private readonly Option<bool> _ids = new("--ids") { Description = "Write the ids only, with commas between them." };
    private readonly Option<bool> _json = new("--json") { Description = "Write ids and texts as JSON." };
    private readonly PromptFlags _prompt = new();

    private TokenizeCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var tokenize = new TokenizeCommand();
        var command = new Command("tokenize", "Show the tokens of a text, or the text of tokens (--prompt-ids).")
        {
            tokenize._model, tokenize._tokenizer, tokenize._continuation, tokenize._ids, tokenize._json,
        };
        tokenize._prompt.AddTo(command);
        command.SetAction(arguments => tokenize.Run(arguments, terminal));
        return command;
    }

    private int Run(ParseResult arguments, Terminal terminal)
    {
        Prompt prompt = _prompt.Read(arguments, terminal);
        string folder = arguments.GetValue(_model)!;
        TextTokenizer tokenizer = TokenizerFolder.Load(folder, arguments.GetValue(_tokenizer))
            ?? throw new UsageException($"--model: {folder} has no tokenizer; put its tokenizer.model there, or name one with --tokenizer.");
        bool isContinuation = arguments.GetValue(_continuation);
        int[] ids = prompt.Ids ?? (isContinuation ? tokenizer.EncodeContinuation(prompt.Text!) : tokenizer.Encode(prompt.Text!));
        if (arguments.GetValue(_json))
        {
            string text = tokenizer.Decode(ids, isContinuation);
            JsonText.Write(terminal.Out, json =>
            {
                json.WriteNumbers("ids", ids);
                json.WriteStartArray("tokens");
                Array.ForEach(ids, id => json.WriteStringValue(tokenizer.TokenText(id)));
                json.WriteEndArray();
                json.WriteString("text", text);
            });
        }
        else if (prompt.Ids is not null)
        {
            terminal.Out.WriteLine(tokenizer.Decode(ids, isContinuation));
        }
        else if (arguments.GetValue(_ids))
        {
            terminal.Out.WriteLine(string.Join(',', ids));
        }
        else
        {
            foreach (int id in ids)
            {
                terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{id,7}  {PruningTrace.Printable(tokenizer.TokenText(id))}"));
            }
        }

        return ExitCode.Success;
    }
}
