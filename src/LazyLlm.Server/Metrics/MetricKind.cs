namespace LazyLlm.Server.Metrics;

/// <summary>How a metric's numbers are to be read, in the words of Prometheus.</summary>
internal enum MetricKind
{
    /// <summary>A number that goes up and down.</summary>
    Gauge,

    /// <summary>A sum that only grows.</summary>
    Counter,

    /// <summary>Counts of values by size.</summary>
    Histogram,
}
