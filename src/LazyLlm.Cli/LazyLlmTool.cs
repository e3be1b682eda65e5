using System.CommandLine;
using System.CommandLine.Invocation;
using LazyLlm.Cli.Commands;
using LazyLlm.Cli.Commands.Bench;
using LazyLlm.Cli.Commands.Eval;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Errors;

namespace LazyLlm.Cli;

/// <summary>The <c>lazyllm</c> command: its verbs, and what becomes of errors.</summary>
internal static class LazyLlmTool
{
    /// <summary>Runs one command line.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static async Task<int> RunAsync(string[] args, Terminal terminal)
    {
        try
        {
            return await InvokeAsync(args, terminal).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (terminal.Interrupt.Token.IsCancellationRequested)
        {
            return Fail(terminal, "cancelled.", ExitCode.Cancelled);
        }
        catch (UsageException error)
        {
            return Fail(terminal, error.Message, ExitCode.Usage);
        }
        catch (InvalidOptionException error)
        {
            return Fail(terminal, error.Message, ExitCode.Usage);
        }
        catch (KernelCompilationException error)
        {
            // Nobody else would show the compiler's log.
            Fail(terminal, FirstLine(error), ExitCode.Device);
            await terminal.Error.WriteLineAsync(error.Log).ConfigureAwait(false);
            return ExitCode.Device;
        }
        catch (DeviceException error)
        {
            // What follows the first line (the paths tried) is what doctor is there to show.
            string firstLine = FirstLine(error);
            return Fail(terminal, firstLine.Length == error.Message.Length ? firstLine : $"{firstLine}{(firstLine.EndsWith('.') ? " See" : ": see")} 'lazyllm doctor'.", ExitCode.Device);
        }
        catch (Exception error) when (error is LazyLlmException or IOException or UnauthorizedAccessException)
        {
            return Fail(terminal, error.Message, ExitCode.Failure);
        }
#pragma warning disable CA1031 // The last resort of a program: nothing above this could handle it.
        catch (Exception error)
        {
            await terminal.Error.WriteLineAsync($"lazyllm: a fault of the program itself; please report it with what follows.{Environment.NewLine}{error}").ConfigureAwait(false);
            return ExitCode.Internal;
        }
#pragma warning restore CA1031
    }

    /// <summary>The command tree. Commands touch the engine only when they run, so that help comes at once.</summary>
    private static RootCommand CreateRoot(Terminal terminal)
    {
        var root = new RootCommand("Run Llama models with LazyLLM's dynamic token pruning: a shorter time to the first token on long prompts.")
        {
            DemoCommand.Create(terminal),
            GenerateCommand.Create(terminal),
            ChatCommand.Create(terminal),
            ServeCommand.Create(terminal),
            CompareCommand.Create(terminal),
            TraceCommand.Create(terminal),
            EvalCommand.Create(terminal),
            BenchCommand.Create(terminal),
            InspectCommand.Create(terminal),
            TokenizeCommand.Create(terminal),
            DoctorCommand.Create(terminal),
            KernelsCommand.Create(terminal),
            CacheCommand.Create(terminal),
        };
        root.Options.Add(Notes.CreateQuietFlag());
        return root;
    }

    private static async Task<int> InvokeAsync(string[] args, Terminal terminal)
    {
        // A prompt may begin with '@' or be '-abc': no response files, no bundles of letters.
        var parsing = new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false };
        RootCommand root = CreateRoot(terminal);
        ParseResult result = root.Parse(args.Length == 0 ? ["--help"] : args, parsing);
        if (result.Action is ParseErrorAction)
        {
            string verb = result.CommandResult.Command == root ? "" : $"{result.CommandResult.Command.Name} ";
            string problem = result.UnmatchedTokens is [string unknown, ..] ? $"'{unknown}' is no command, option or argument here." : result.Errors[^1].Message;
            return Fail(terminal, $"{problem} See 'lazyllm {verb}--help'.", ExitCode.Usage);
        }

        var invocation = new InvocationConfiguration
        {
            Output = terminal.Out,
            Error = terminal.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        return await result.InvokeAsync(invocation, terminal.Interrupt.Token).ConfigureAwait(false);
    }

    private static string FirstLine(DeviceException error) => error.Message.Split('\n')[0].TrimEnd('\r', ':', ' ');

    private static int Fail(Terminal terminal, string message, int exitCode)
    {
        // A message may quote a user's text or a compiler's log: what follows its first line would break "one line per error".
        terminal.Error.WriteLine($"lazyllm: {message.ReplaceLineEndings(" ")}");
        return exitCode;
    }
}
