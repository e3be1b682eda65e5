using System.CommandLine;
using System.Text;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm generate</c>: continues a prompt, on standard output as it comes.</summary>
internal sealed class GenerateCommand
{
    private readonly ModelFlags _model = new();
    private readonly PromptFlags _prompt = new();
    private readonly PruneFlag _prune = new("none");
    private readonly SamplingFlags _sampling = new(defaultMaxTokens: 256);
    private readonly Option<bool> _echo = new("--echo") { Description = "Write the prompt before the answer." };
    private readonly Option<bool> _json = new("--json") { Description = "Write answer, tokens and figures as JSON." };

    private GenerateCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var generate = new GenerateCommand();
        var command = new Command("generate", "Continue a prompt.") { generate._echo, generate._json };
        generate._prompt.AddTo(command);
        generate._model.AddTo(command);
        generate._prune.AddTo(command);
        generate._sampling.AddTo(command);
        command.SetAction((arguments, cancellation) => generate.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        PruningSchedule schedule = _prune.Read(arguments);
        SamplingOptions sampling = _sampling.Read(arguments);
        Prompt prompt = _prompt.Read(arguments, terminal);
        var notes = new Notes(terminal, arguments);
        using LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false);
        sampling = _sampling.Advise(arguments, sampling, engine);
        using Session session = engine.CreateSession(schedule);
        using Notes.PrefillBar? bar = notes.CreatePrefillBar();
        session.PrefillProgress = bar;
        session.Append(prompt.Encode(engine));

        bool isJson = arguments.GetValue(_json);
        string before = arguments.GetValue(_echo) ? prompt.Text ?? string.Join(',', prompt.Ids!) : "";
        if (!isJson)
        {
            await terminal.Out.WriteAsync(before).ConfigureAwait(false);
        }

        var text = new StringBuilder();
        var tokens = new List<GeneratedToken>();
        try
        {
            await foreach (GeneratedToken token in session.GenerateAsync(sampling, cancellation).ConfigureAwait(false))
            {
                text.Append(token.Text);
                tokens.Add(token);
                if (!isJson)
                {
                    // Without a tokenizer an answer has ids in place of text.
                    await terminal.Out.WriteAsync(engine.Tokenizer is null ? $"{(tokens.Count > 1 ? "," : "")}{token.Id}" : token.Text).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            if (!isJson && tokens.Count > 0)
            {
                await terminal.Out.WriteLineAsync().ConfigureAwait(false);
            }
        }

        if (isJson)
        {
            JsonText.Write(terminal.Out, json =>
            {
                json.WriteString("text", before + text);
                json.WriteString("finish", tokens[^1].Finish.ToString().ToLowerInvariant());
                json.WriteString("schedule", schedule.ToString());
                json.WriteString("device", engine.DeviceName);
                json.WriteStartArray("tokens");
                foreach (GeneratedToken token in tokens)
                {
                    json.WriteStartObject();
                    json.WriteNumber("id", token.Id);
                    json.WriteString("text", token.Text);
                    json.WriteNumber("log_probability", token.LogProbability);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteStatistics("statistics", session.Statistics);
            });
        }

        notes.WriteStatistics(session.Statistics);
        return ExitCode.Success;
    }
}
