using System.Net;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Scheduling;
using Microsoft.Extensions.Logging;

namespace LazyLlm.Server;

/// <summary>Where a <see cref="LlamaServer"/> listens, and its limits.</summary>
public sealed record LlamaServerOptions
{
    /// <summary>The address to listen on; this machine alone by default.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>The port; 0 takes a free one.</summary>
    public int Port { get; init; }

    /// <summary>The key that requests must bring (<c>Authorization: Bearer KEY</c>). Null asks for none.</summary>
    public string? ApiKey { get; init; }

    /// <summary>The model's name in requests and answers; the name of its folder where null.</summary>
    public string? ModelName { get; init; }

    /// <summary>The schedule of requests that name none.</summary>
    public PruningSchedule Pruning { get; init; } = PruningSchedule.None;

    /// <summary>The limits of queue, running requests and memory. Its time limit is <see cref="TimeLimit"/> where null.</summary>
    public SchedulerOptions Scheduling { get; init; } = new();

    /// <summary>Longest time of one request from its arrival in the queue to its last token.</summary>
    public TimeSpan TimeLimit { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>The most tokens that one answer may be asked to have; answers asked for without a number end there.</summary>
    public int MaxTokensLimit { get; init; } = 4_096;

    /// <summary>The most answers (prompts times <c>n</c>) of one request.</summary>
    public int ChoiceLimit { get; init; } = 64;

    /// <summary>The most bytes of a request's body.</summary>
    public long BodyLimit { get; init; } = 4 << 20;

    /// <summary>Longest time that a request's body may take to arrive.</summary>
    public TimeSpan BodyTimeLimit { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest time that a request's headers may take to arrive.</summary>
    public TimeSpan HeaderTimeLimit { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest time that a client may leave a full buffer of its answer unread; then its connection is closed, and its request ends.</summary>
    public TimeSpan ReaderTimeLimit { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Connections that may be open at a time; one more is closed at once.</summary>
    public int ConnectionLimit { get; init; } = 2_000;

    /// <summary>
    /// Where to send metrics and traces by OpenTelemetry's protocol (OTLP). Null for what the environment variable
    /// <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says, and nowhere without it.
    /// </summary>
    public Uri? OtlpEndpoint { get; init; }

    /// <summary>Where the server logs to: a line per request, never a text of one. Nowhere where null.</summary>
    public ILoggerFactory? Logging { get; init; }

    internal void Validate()
    {
        ArgumentNullException.ThrowIfNull(Address);
        ArgumentNullException.ThrowIfNull(Pruning);
        ArgumentNullException.ThrowIfNull(Scheduling);
        Require(Port is >= 0 and <= IPEndPoint.MaxPort, nameof(Port), Port, $"0 to {IPEndPoint.MaxPort}");
        Require(ApiKey is null || (ApiKey.Length > 0 && !ApiKey.Any(c => c is <= ' ' or > '~')), nameof(ApiKey), "an empty key or one with spaces or other than ASCII", "printable ASCII characters");
        Require(ModelName is not "", nameof(ModelName), "an empty name", "at least one character");
        RequirePositive(TimeLimit, nameof(TimeLimit));
        RequirePositive(BodyTimeLimit, nameof(BodyTimeLimit));
        RequirePositive(HeaderTimeLimit, nameof(HeaderTimeLimit));
        RequirePositive(ReaderTimeLimit, nameof(ReaderTimeLimit));
        Require(MaxTokensLimit >= 1, nameof(MaxTokensLimit), MaxTokensLimit, "1 or more");
        Require(ChoiceLimit >= 1, nameof(ChoiceLimit), ChoiceLimit, "1 or more");
        Require(BodyLimit >= 1, nameof(BodyLimit), BodyLimit, "1 or more");
        Require(ConnectionLimit >= 1, nameof(ConnectionLimit), ConnectionLimit, "1 or more");
    }

    private static void RequirePositive(TimeSpan time, string option) =>
        Require(time > TimeSpan.Zero && time <= TimeSpan.FromDays(1), option, $"{time.TotalSeconds} s", "more than 0 and at most a day");

    private static void Require<T>(bool holds, string option, T found, string expected)
    {
        if (!holds)
        {
            throw new InvalidOptionException(option, $"found {found}, expected {expected}.");
        }
    }
}
