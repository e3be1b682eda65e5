using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using LazyLlm.Native.Tokenizers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LazyLlm.Server;

/// <summary>What all endpoints share: the model, its scheduler, and whether the server still takes requests.</summary>
internal sealed partial class ServedModel : IDisposable
{
    private readonly CancellationTokenSource _stopNow = new();
    private readonly TaskCompletionSource<DeviceLostException> _fault = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _isDraining;

    public ServedModel(LlamaEngine engine, LlamaServerOptions options)
    {
        Options = options;
        Engine = engine;
        Tokenizer = engine.Tokenizer
            ?? throw new InvalidOptionException("engine", $"the model in {engine.Folder.Path} has no tokenizer, and the server works on text. Put its tokenizer.model there.");
        Template = ChatTemplate.For(Tokenizer);
        options.Pruning.PlanFor(engine.Config.LayerCount);
        Name = options.ModelName ?? engine.Folder.Name;
        Scheduler = new Scheduler(engine, options.Scheduling with { TimeLimit = options.Scheduling.TimeLimit ?? options.TimeLimit });
        ILogger log = (options.Logging ?? NullLoggerFactory.Instance).CreateLogger<LlamaServer>();
        Scheduler.Ended += answer =>
        {
            // Also where nobody is left to be told: whoever waits for the fault must hear of it.
            NoteFault(answer.Failure);
            if (log.IsEnabled(LogLevel.Information))
            {
                Log(log, answer);
            }
        };
    }

    public LlamaServerOptions Options { get; }

    public LlamaEngine Engine { get; }

    public TextTokenizer Tokenizer { get; }

    public ChatTemplate Template { get; }

    public Scheduler Scheduler { get; }

    /// <summary>The model's name in requests and answers.</summary>
    public string Name { get; }

    /// <summary>When the server began to serve it.</summary>
    public DateTimeOffset Started { get; } = DateTimeOffset.UtcNow;

    /// <summary>Whether new requests are refused because the server is about to stop.</summary>
    public bool IsDraining => _isDraining;

    /// <summary>Cancelled when running requests have to end at once.</summary>
    public CancellationToken StopNow => _stopNow.Token;

    /// <summary>Completes when the device has failed for good.</summary>
    public Task<DeviceLostException> Fault => _fault.Task;

    public void Drain() => _isDraining = true;

    public void EndAll() => _stopNow.Cancel();

    /// <summary>Notes an error that ends the device's service, if it is one.</summary>
    public void NoteFault(Exception? error)
    {
        if (error is DeviceLostException lost)
        {
            _fault.TrySetResult(lost);
        }
    }

    public void Dispose()
    {
        Scheduler.Dispose();
        _stopNow.Dispose();
    }

    private static void Log(ILogger log, ScheduledAnswer answer)
    {
        string outcome = answer.Failure is Exception failure ? failure.GetType().Name : answer.Finish.ToString();
        LogAnswer(
            log,
            answer.Number,
            answer.Request.Operation,
            outcome,
            answer.Request.Tokens.Length,
            answer.ReusedTokens,
            answer.GeneratedTokens,
            answer.QueueTime.TotalMilliseconds,
            answer.TimeToFirstToken.TotalMilliseconds,
            answer.Age.TotalMilliseconds);
    }

    [LoggerMessage(
        EventId = 1,
        Level = LogLevel.Information,
        Message = "answer {Number} ({Operation}): {Outcome}, {PromptTokens} prompt tokens ({ReusedTokens} reused), {GeneratedTokens} generated, queue {QueueMs:0.0} ms, first token {TtftMs:0.0} ms, total {TotalMs:0.0} ms")]
    private static partial void LogAnswer(
        ILogger log, long number, string operation, string outcome, int promptTokens, int reusedTokens, int generatedTokens, double queueMs, double ttftMs, double totalMs);
}
