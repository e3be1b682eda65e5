namespace LazyLlm.Server.Monitor;

/// <summary>What the page is told when it asks: the present, and what is new since it asked last.</summary>
internal sealed record MonitorState
{
    public required MonitorServer Server { get; init; }

    /// <summary>The server's clock, in milliseconds since 1970.</summary>
    public required long Now { get; init; }

    /// <summary>What ended the device's service, or null.</summary>
    public required string? Fault { get; init; }

    public required MonitorSample Load { get; init; }

    public required IReadOnlyList<RunningRequest> Running { get; init; }

    public required IReadOnlyList<MonitorSample> Samples { get; init; }

    public required IReadOnlyList<EndedRequest> Ended { get; init; }
}
