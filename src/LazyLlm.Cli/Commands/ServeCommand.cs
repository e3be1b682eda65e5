using System.CommandLine;
using System.Net;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Scheduling;
using LazyLlm.Server;
using Microsoft.Extensions.Logging;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm serve</c>: the model behind OpenAI's HTTP API, until a signal comes.</summary>
internal sealed class ServeCommand
{
    private const string KeyVariable = "LAZYLLM_API_KEY";

    private static readonly LlamaServerOptions Defaults = new();

    private readonly Argument<string?> _folder = new("model") { Description = "Model folder; the same as --model.", Arity = ArgumentArity.ZeroOrOne };
    private readonly ModelFlags _model = new(isRequired: false);
    private readonly PruneFlag _prune = new("none");
    private readonly Option<string> _host = new("--host") { Description = "Address to listen on; 0.0.0.0 for all of this machine's.", HelpName = "ADDRESS", DefaultValueFactory = _ => "127.0.0.1" };
    private readonly Option<int> _port = new("--port") { Description = "Port to listen on; 0 for a free one.", HelpName = "N", DefaultValueFactory = _ => 8080 };
    private readonly Option<string?> _key = new("--api-key") { Description = $"Key that requests must bring. Others see it in the list of processes: rather set {KeyVariable}, or use --api-key-file.", HelpName = "KEY" };
    private readonly Option<string?> _keyFile = new("--api-key-file") { Description = "File that holds the key.", HelpName = "FILE" };
    private readonly Option<string?> _name = new("--model-name") { Description = "The model's name in requests and answers; its folder's name by default.", HelpName = "NAME" };
    private readonly Option<int> _parallel = new("--parallel") { Description = "Requests that run at a time.", HelpName = "N", DefaultValueFactory = _ => Defaults.Scheduling.RunningLimit };
    private readonly Option<int> _queue = new("--queue") { Description = "Requests that may wait; one more gets 429.", HelpName = "N", DefaultValueFactory = _ => Defaults.Scheduling.QueueLimit };
    private readonly Option<int> _maxTokens = new("--max-tokens") { Description = "The most tokens that an answer may be asked to have.", HelpName = "N", DefaultValueFactory = _ => Defaults.MaxTokensLimit };
    private readonly Option<int> _bodyLimit = new("--body-limit") { Description = "The most bytes of a request.", HelpName = "N", DefaultValueFactory = _ => (int)Defaults.BodyLimit };
    private readonly Option<double> _timeLimit = new("--time-limit") { Description = "Longest time of a request, waiting included.", HelpName = "SECONDS", DefaultValueFactory = _ => Defaults.TimeLimit.TotalSeconds };
    private readonly Option<double> _grace = new("--grace") { Description = "How long running requests may go on after SIGTERM or Ctrl+C.", HelpName = "SECONDS", DefaultValueFactory = _ => 30 };
    private readonly Option<bool> _exitOnFault = new("--exit-on-fault") { Description = $"End with exit code {ExitCode.Fault} when the device has failed for good, so that a supervisor starts the server again." };
    private readonly Option<bool> _log = new("--log") { Description = "Log a line per answer to standard error; never a text." };

    private ServeCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var serve = new ServeCommand();
        var command = new Command("serve", "Serve a model over HTTP with OpenAI's API, until SIGTERM or Ctrl+C.")
        {
            serve._folder, serve._host, serve._port, serve._key, serve._keyFile, serve._name, serve._parallel, serve._queue,
            serve._maxTokens, serve._bodyLimit, serve._timeLimit, serve._grace, serve._exitOnFault, serve._log,
        };
        serve._model.AddTo(command);
        serve._prune.AddTo(command);
        command.SetAction((arguments, cancellation) => serve.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        string folder = (arguments.GetValue(_folder), _model.Folder(arguments)) switch
        {
            (string path, null) => path,
            (null, string path) => path,
            _ => throw new UsageException("model: expected one model folder, as an argument or by --model DIR."),
        };
        TimeSpan grace = Seconds(arguments, _grace);
        var notes = new Notes(terminal, arguments);
        using ILoggerFactory logging = CreateLogging(arguments.GetValue(_log));
        LlamaServerOptions options = ReadOptions(arguments) with { Logging = logging };
        using LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation, folder).ConfigureAwait(false);
        await using LlamaServer server = await LlamaServer.StartAsync(engine, options, cancellation).ConfigureAwait(false);
        notes.Write($"{server.ModelName} on {engine.DeviceName}, schedule {options.Pruning}: listening on {server.Address.ToString().TrimEnd('/')}. Ctrl+C stops.");
        if (options.ApiKey is null && !IPAddress.IsLoopback(options.Address))
        {
            notes.Write($"Anybody who reaches {options.Address} may use it: set {KeyVariable} or --api-key-file to ask for a key.");
        }

        return await ServeAsync(server, grace, arguments.GetValue(_exitOnFault), notes, cancellation).ConfigureAwait(false);
    }

    private static async Task<int> ServeAsync(LlamaServer server, TimeSpan grace, bool exitsOnFault, Notes notes, CancellationToken cancellation)
    {
        Task signal = Task.Delay(Timeout.Infinite, cancellation);
        Task ended = await Task.WhenAny(server.Fault, signal).ConfigureAwait(false);
        if (ended == server.Fault)
        {
            notes.Write($"The device has failed for good: {(await server.Fault.ConfigureAwait(false)).Message}");
            if (exitsOnFault)
            {
                return ExitCode.Fault;
            }

            await Task.WhenAny(signal).ConfigureAwait(false);
        }

        int running = server.Scheduler.Status.Running + server.Scheduler.Status.Waiting;
        notes.Write(running == 0 ? "Stopping." : $"Stopping once {running} {(running == 1 ? "request has" : "requests have")} ended, at most {grace.TotalSeconds:0.#} s. A second signal ends at once.");
        using var patience = new CancellationTokenSource(grace);
        await server.StopAsync(patience.Token).ConfigureAwait(false);
        return ExitCode.Success;
    }

    private static ILoggerFactory CreateLogging(bool logsRequests) => LoggerFactory.Create(logging => logging
        .SetMinimumLevel(logsRequests ? LogLevel.Information : LogLevel.Warning)
        .AddFilter("Microsoft", LogLevel.Error)
        .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None)
        .AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace)
        .AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat) = (true, "yyyy-MM-dd HH:mm:ss.fff ")));

    private static TimeSpan Seconds(ParseResult arguments, Option<double> option) =>
        arguments.GetValue(option) is > 0 and <= 86_400 and double seconds
            ? TimeSpan.FromSeconds(seconds)
            : throw new UsageException($"{option.Name}: found {arguments.GetValue(option)}, expected seconds above 0 and at most 86400.");

    private static int Count(ParseResult arguments, Option<int> option) =>
        arguments.GetValue(option) is >= 1 and int count ? count : throw new UsageException($"{option.Name}: found {arguments.GetValue(option)}, expected 1 or more.");

    private LlamaServerOptions ReadOptions(ParseResult arguments)
    {
        string host = arguments.GetValue(_host)!;
        if (!IPAddress.TryParse(host == "localhost" ? "127.0.0.1" : host, out IPAddress? address))
        {
            throw new UsageException($"--host: found '{host}', expected an address of this machine such as 127.0.0.1 or 0.0.0.0.");
        }

        return new LlamaServerOptions
        {
            Address = address,
            Port = arguments.GetValue(_port) is >= 0 and <= IPEndPoint.MaxPort and int port ? port : throw new UsageException($"--port: found {arguments.GetValue(_port)}, expected 0 to {IPEndPoint.MaxPort}."),
            ApiKey = ReadKey(arguments),
            ModelName = arguments.GetValue(_name) is "" ? throw new UsageException($"{_name.Name}: found an empty name, expected at least one character.") : arguments.GetValue(_name),
            Pruning = _prune.Read(arguments),
            Scheduling = new SchedulerOptions { RunningLimit = Count(arguments, _parallel), QueueLimit = Count(arguments, _queue) },
            MaxTokensLimit = Count(arguments, _maxTokens),
            BodyLimit = Count(arguments, _bodyLimit),
            TimeLimit = Seconds(arguments, _timeLimit),
        };
    }

    private string? ReadKey(ParseResult arguments)
    {
        (string? given, string? file) = (arguments.GetValue(_key), arguments.GetValue(_keyFile));
        if (given is not null && file is not null)
        {
            throw new UsageException("--api-key and --api-key-file: found both, expected one.");
        }

        string? key = given ?? (file is null ? Environment.GetEnvironmentVariable(KeyVariable) : ReadKeyFile(file));
        string source = given is not null ? _key.Name : file is not null ? _keyFile.Name : KeyVariable;
        return key switch
        {
            null => null,
            "" => throw new UsageException($"{source}: found an empty key; leave it out to ask for none."),
            _ when key.Any(c => c is <= ' ' or > '~') => throw new UsageException($"{source}: found a key with spaces or other than ASCII, expected printable ASCII characters."),
            _ => key,
        };
    }

    private string ReadKeyFile(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{_keyFile.Name}: {file} cannot be read: {error.Message}", error);
        }
    }
}
