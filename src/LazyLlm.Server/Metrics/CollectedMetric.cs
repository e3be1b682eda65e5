using System.Diagnostics.Metrics;

namespace LazyLlm.Server.Metrics;

/// <summary>What one instrument has measured so far. Safe for any number of threads; a measurement of known attributes costs no memory.</summary>
internal sealed class CollectedMetric
{
    /// <summary>Sets of attributes that one metric may have. What comes beyond goes into one series that says so.</summary>
    public const int MostSeries = 1_000;

    // OpenTelemetry's bounds for instruments that advise none.
    private static readonly double[] DefaultBounds = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];
    private static readonly KeyValuePair<string, object?>[] OverflowTags = [new("otel.metric.overflow", true)];

    private readonly object _gate = new();
    private readonly List<MetricSeries> _series = [];
    private readonly bool _isObserved;

    public CollectedMetric(Instrument instrument)
    {
        Name = instrument.Name;
        Unit = instrument.Unit ?? "";
        Description = instrument.Description ?? "";
        Kind = KindOf(instrument);
        Bounds = Kind == MetricKind.Histogram ? BoundsOf(instrument) : [];
        _isObserved = instrument.IsObservable || IsGauge(instrument);
    }

    public string Name { get; }

    public string Unit { get; }

    public string Description { get; }

    public MetricKind Kind { get; }

    /// <summary>A histogram's upper bounds, ascending.</summary>
    public double[] Bounds { get; }

    /// <summary>Whether nothing has been measured.</summary>
    public bool IsEmpty
    {
        get
        {
            lock (_gate)
            {
                return _series.Count == 0;
            }
        }
    }

    /// <summary>Takes a measurement.</summary>
    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        // One number that is none would spoil a sum for good.
        if (!double.IsFinite(value) && !_isObserved)
        {
            return;
        }

        lock (_gate)
        {
            MetricSeries series = SeriesOf(tags);
            if (Kind == MetricKind.Histogram)
            {
                series.Observe(value);
            }
            else
            {
                series.Value = _isObserved ? value : series.Value + value;
                series.IsFresh = true;
            }
        }
    }

    /// <summary>Before values are observed anew: those that are not seen again have gone.</summary>
    public void BeginCollection(Instrument instrument)
    {
        if (instrument.IsObservable)
        {
            lock (_gate)
            {
                _series.ForEach(series => series.IsFresh = false);
            }
        }
    }

    /// <summary>Drops what was not observed again.</summary>
    public void EndCollection(Instrument instrument)
    {
        if (instrument.IsObservable)
        {
            lock (_gate)
            {
                _series.RemoveAll(series => !series.IsFresh);
            }
        }
    }

    /// <summary>Reads every series while none changes.</summary>
    public void Read(Action<MetricSeries> reader)
    {
        lock (_gate)
        {
            _series.ForEach(reader);
        }
    }

    private static MetricKind KindOf(Instrument instrument)
    {
        Type type = instrument.GetType().GetGenericTypeDefinition();
        return type == typeof(Counter<>) || type == typeof(ObservableCounter<>) ? MetricKind.Counter
            : type == typeof(Histogram<>) ? MetricKind.Histogram
            : MetricKind.Gauge;
    }

    private static bool IsGauge(Instrument instrument) => instrument.GetType().GetGenericTypeDefinition() == typeof(Gauge<>);

    private static double[] BoundsOf(Instrument instrument) => instrument switch
    {
        Histogram<double> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds],
        Histogram<float> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(b => (double)b)],
        Histogram<long> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(b => (double)b)],
        Histogram<int> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(b => (double)b)],
        _ => DefaultBounds,
    };

    private MetricSeries SeriesOf(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        foreach (MetricSeries series in _series)
        {
            if (series.Has(tags))
            {
                return series;
            }
        }

        if (_series.Count >= MostSeries && !tags.SequenceEqual(OverflowTags))
        {
            return SeriesOf(OverflowTags);
        }

        KeyValuePair<string, object?>[] sorted = tags.ToArray();
        Array.Sort(sorted, static (a, b) => string.CompareOrdinal(a.Key, b.Key));
        var added = new MetricSeries(sorted, Bounds);
        _series.Add(added);
        return added;
    }
}
