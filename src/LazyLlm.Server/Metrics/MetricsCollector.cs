using System.Diagnostics.Metrics;
using System.Runtime.InteropServices;

namespace LazyLlm.Server.Metrics;

/// <summary>
/// Adds up what the process's instruments measure from its creation on, for whoever asks. (OpenTelemetry's own Prometheus
/// exporter exists as a prerelease only.)
/// </summary>
internal sealed class MetricsCollector : IDisposable
{
    private readonly object _gate = new();
    private readonly List<(Instrument Instrument, CollectedMetric Metric)> _instruments = [];
    private readonly MeterListener _listener = new();

    /// <summary>Starts to listen.</summary>
    /// <param name="includes">Which instruments to listen to.</param>
    public MetricsCollector(Func<Instrument, bool> includes)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (includes(instrument))
            {
                listener.EnableMeasurementEvents(instrument, Add(instrument));
            }
        };
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<float>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<decimal>(static (_, value, tags, state) => Record((double)value, tags, state));
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<short>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.SetMeasurementEventCallback<byte>(static (_, value, tags, state) => Record(value, tags, state));
        _listener.Start();
    }

    /// <summary>Observes what is observed on demand, and gives every metric in the order of its name.</summary>
    public CollectedMetric[] Collect()
    {
        lock (_gate)
        {
            // Instruments that are published while this runs wait for the next time.
            ReadOnlySpan<(Instrument Instrument, CollectedMetric Metric)> instruments = CollectionsMarshal.AsSpan(_instruments);
            foreach ((Instrument instrument, CollectedMetric metric) in instruments)
            {
                metric.BeginCollection(instrument);
            }

            try
            {
                _listener.RecordObservableInstruments();
            }
            catch (AggregateException)
            {
                // An instrument that cannot be observed now is missing; the others have been read.
            }

            foreach ((Instrument instrument, CollectedMetric metric) in instruments)
            {
                metric.EndCollection(instrument);
            }

            return [.. _instruments.Select(i => i.Metric).Distinct().OrderBy(m => m.Name, StringComparer.Ordinal)];
        }
    }

    /// <summary>Stops to listen.</summary>
    public void Dispose() => _listener.Dispose();

    private static void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state) => ((CollectedMetric)state!).Record(value, tags);

    /// <summary>Instruments of one name and unit, of several meters, add to one metric.</summary>
    private CollectedMetric Add(Instrument instrument)
    {
        var metric = new CollectedMetric(instrument);
        lock (_gate)
        {
            foreach ((Instrument _, CollectedMetric known) in _instruments)
            {
                if (known.Name == metric.Name && known.Unit == metric.Unit && known.Kind == metric.Kind && known.Bounds.AsSpan().SequenceEqual(metric.Bounds))
                {
                    metric = known;
                    break;
                }
            }

            _instruments.Add((instrument, metric));
            return metric;
        }
    }
}
