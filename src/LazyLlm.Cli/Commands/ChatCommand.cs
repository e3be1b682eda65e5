using System.CommandLine;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm chat</c>: a conversation in one session, so that no turn computes an earlier one again.</summary>
internal sealed class ChatCommand
{
    private const string Help = "/reset forgets the conversation, /system TEXT does so with new instructions, /stats shows the last answer's figures, /exit ends. Ctrl+C stops an answer.";

    private readonly ModelFlags _model = new();
    private readonly PruneFlag _prune = new("none");
    private readonly SamplingFlags _sampling = new(defaultMaxTokens: 1024);
    private readonly Option<string?> _system = new("--system") { Description = "Instructions for the whole conversation.", HelpName = "TEXT" };
    private readonly Option<string> _template = new("--template") { Description = "The form that the model was trained on: 'auto' (by its tokenizer), 'llama2' or 'xgen'.", HelpName = "NAME", DefaultValueFactory = _ => "auto" };

    private ChatCommand()
    {
        _template.AcceptOnlyFromAmong("auto", "llama2", "xgen");
    }

    public static Command Create(Terminal terminal)
    {
        var chat = new ChatCommand();
        var command = new Command("chat", "Talk with a chat model; each line of standard input is a message.") { chat._system, chat._template };
        chat._model.AddTo(command);
        chat._prune.AddTo(command);
        chat._sampling.AddTo(command);
        command.SetAction((arguments, cancellation) => chat.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        PruningSchedule schedule = _prune.Read(arguments);
        SamplingOptions sampling = _sampling.Read(arguments);
        var notes = new Notes(terminal, arguments);
        using LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false);
        TextTokenizer tokenizer = engine.RequireTokenizer();
        sampling = _sampling.Advise(arguments, sampling, engine);
        ChatTemplate template = arguments.GetValue(_template) switch
        {
            "llama2" => ChatTemplate.Llama2,
            "xgen" => ChatTemplate.Xgen,
            _ => ChatTemplate.For(tokenizer),
        };
        using Session session = engine.CreateSession(schedule);
        using Notes.PrefillBar? bar = notes.CreatePrefillBar();
        session.PrefillProgress = bar;
        notes.Write($"{Path.GetFileName(engine.Folder.Path)} on {engine.DeviceName}. {Help}");
        await TalkAsync(engine, session, template, arguments.GetValue(_system), sampling with { StopStrings = [.. sampling.StopStrings, .. template.StopStrings] }, terminal, notes).ConfigureAwait(false);
        return ExitCode.Success;
    }

    private static async Task TalkAsync(LlamaEngine engine, Session session, ChatTemplate template, string? system, SamplingOptions sampling, Terminal terminal, Notes notes)
    {
        var answer = new List<int>();
        bool isFirst = true;
        while (ReadLine(terminal) is string line)
        {
            switch (line.Split(' ', 2)[0])
            {
                case "":
                    continue;
                case "/exit" or "/quit":
                    return;
                case "/help":
                    notes.Write(Help);
                    continue;
                case "/stats":
                    notes.WriteStatistics(session.Statistics);
                    continue;
                case "/system" or "/reset":
                    system = line.StartsWith("/system ", StringComparison.Ordinal) ? line[8..] : system;
                    session.Reset();
                    isFirst = true;
                    notes.Write("The conversation begins anew.");
                    continue;
                case ['/', ..] command:
                    notes.Write($"There is no {command}. {Help}");
                    continue;
            }

            int[] turn = isFirst
                ? template.Encode(engine.Tokenizer!, system is null ? [new(ChatRole.User, line)] : [new(ChatRole.System, system), new(ChatRole.User, line)])
                : template.EncodeFollowUp(engine.Tokenizer!, answer.ToArray(), line);
            try
            {
                session.Append(turn);
            }
            catch (ContextLengthException error) when (terminal.IsInputTerminal)
            {
                notes.Write($"{error.Message} /reset starts anew.");
                continue;
            }

            isFirst = false;
            answer.Clear();
            await terminal.Interrupt.RunScopeAsync(scope => AnswerAsync(session, sampling, answer, terminal, notes, scope)).ConfigureAwait(false);
        }
    }

    /// <summary>Writes an answer as it comes. One that is stopped stays in the conversation as far as it came.</summary>
    private static async Task AnswerAsync(Session session, SamplingOptions sampling, List<int> answer, Terminal terminal, Notes notes, CancellationToken cancellation)
    {
        bool isTrimmed = false;
        try
        {
            await foreach (GeneratedToken token in session.GenerateAsync(sampling, cancellation).ConfigureAwait(false))
            {
                answer.Add(token.Id);
                string text = isTrimmed ? token.Text : token.Text.TrimStart();
                isTrimmed |= text.Length > 0;
                await terminal.Out.WriteAsync(text).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!terminal.Interrupt.Token.IsCancellationRequested)
        {
            notes.Write(" [stopped]");
        }

        await terminal.Out.WriteLineAsync().ConfigureAwait(false);
    }

    private static string? ReadLine(Terminal terminal)
    {
        if (terminal.IsInputTerminal)
        {
            terminal.Error.Write("> ");
        }

        return terminal.Interrupt.WaitForInput(terminal.In.ReadLine)?.Trim();
    }
}
