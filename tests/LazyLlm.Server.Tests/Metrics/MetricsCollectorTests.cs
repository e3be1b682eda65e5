using System.Diagnostics.Metrics;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Server.Metrics;

namespace LazyLlm.Server.Tests.Metrics;

public sealed class MetricsCollectorTests : IDisposable
{
    private readonly Meter _meter = new($"test-{Guid.NewGuid():N}");
    private readonly MetricsCollector _collector;

    public MetricsCollectorTests() => _collector = new MetricsCollector(instrument => instrument.Meter == _meter);

    public void Dispose()
    {
        _collector.Dispose();
        _meter.Dispose();
    }

    [Fact]
    public void Names_units_and_kinds_follow_opentelemetrys_rules_for_prometheus()
    {
        _meter.CreateCounter<long>("a.tokens", "{token}", "Tokens.").Add(3);
        _meter.CreateCounter<double>("b.time", "s").Add(1.5);
        _meter.CreateUpDownCounter<int>("c.cache.bytes", "By").Add(-2);
        _meter.CreateGauge<float>("d.share", "1").Record(0.5f);
        _meter.CreateCounter<byte>("e.seen_total").Add(7);
        _meter.CreateObservableGauge("9 lives", () => 9, "{life}");
        Assert.Equal(
            """
            # HELP _9_lives 
            # TYPE _9_lives gauge
            _9_lives 9
            # HELP a_tokens_total Tokens.
            # TYPE a_tokens_total counter
            a_tokens_total 3
            # HELP b_time_seconds_total 
            # TYPE b_time_seconds_total counter
            b_time_seconds_total 1.5
            # HELP c_cache_bytes 
            # TYPE c_cache_bytes gauge
            c_cache_bytes -2
            # HELP d_share_ratio 
            # TYPE d_share_ratio gauge
            d_share_ratio 0.5
            # HELP e_seen_total 
            # TYPE e_seen_total counter
            e_seen_total 7

            """.ReplaceLineEndings("\n"),
            Text());
    }

    [Fact]
    public void Openmetrics_names_counters_without_their_suffix_says_units_and_ends()
    {
        _meter.CreateCounter<double>("work", "s", "Say \"hi\"\\\nagain.").Add(2);
        _meter.CreateHistogram("size", "By", null, null, new InstrumentAdvice<double> { HistogramBucketBoundaries = [1, 2.5] }).Record(2);
        Assert.Equal(
            """
            # HELP size_bytes 
            # TYPE size_bytes histogram
            # UNIT size_bytes bytes
            size_bytes_bucket{le="1.0"} 0
            size_bytes_bucket{le="2.5"} 1
            size_bytes_bucket{le="+Inf"} 1
            size_bytes_sum 2
            size_bytes_count 1
            # HELP work_seconds Say \"hi\"\\\nagain.
            # TYPE work_seconds counter
            # UNIT work_seconds seconds
            work_seconds_total 2
            # EOF

            """.ReplaceLineEndings("\n"),
            PrometheusText.Write(_collector.Collect(), openMetrics: true));
    }

    [Fact]
    public void Attributes_are_escaped_sorted_and_one_series_in_any_order()
    {
        Counter<long> counter = _meter.CreateCounter<long>("hits");
        counter.Add(1, new("b.name", "x\"y\\z\n"), new("a", true), new("c", null));
        counter.Add(2, new("c", null), new("a", true), new("b.name", "x\"y\\z\n"));
        counter.Add(4, new("a", 1.5), new KeyValuePair<string, object?>("b.name", "é"));
        Assert.Contains("hits_total{a=\"true\",b_name=\"x\\\"y\\\\z\\n\",c=\"\"} 3\n", Text(), StringComparison.Ordinal);
        Assert.Contains("hits_total{a=\"1.5\",b_name=\"é\"} 4\n", Text(), StringComparison.Ordinal);
    }

    [Property(MaxTest = 60)]
    public Property Buckets_are_cumulative_and_a_value_on_a_bound_is_below_it() => Prop.ForAll(
        ArbMap.Default.ArbFor<int[]>(),
        values =>
        {
            double[] bounds = [-3, 0, 1, 8];
            using var meter = new Meter($"test-{Guid.NewGuid():N}");
            using var collector = new MetricsCollector(instrument => instrument.Meter == meter);
            Histogram<int> histogram = meter.CreateHistogram("h", null, null, null, new InstrumentAdvice<int> { HistogramBucketBoundaries = [-3, 0, 1, 8] });
            foreach (int value in values)
            {
                histogram.Record(value);
            }

            string text = PrometheusText.Write(collector.Collect(), openMetrics: false);
            return values.Length == 0
                ? text.Length == 0
                : bounds.All(bound => text.Contains($"h_bucket{{le=\"{bound}\"}} {values.Count(v => v <= bound)}\n", StringComparison.Ordinal))
                    && text.Contains($"h_bucket{{le=\"+Inf\"}} {values.Length}\nh_sum {values.Sum(v => (double)v):R}\nh_count {values.Length}\n", StringComparison.Ordinal);
        });

    [Fact]
    public void What_is_not_observed_any_more_goes_and_what_cannot_be_observed_hides_nothing()
    {
        string[] seen = ["a", "b"];
        _meter.CreateObservableGauge("load", () => seen.Select(name => new Measurement<int>(1, new KeyValuePair<string, object?>("of", name))));
        _meter.CreateObservableGauge("broken", Broken);
        _meter.CreateObservableCounter("time", () => 5L);
        Assert.Contains("load{of=\"b\"} 1\n", Text(), StringComparison.Ordinal);
        seen = ["a"];
        string text = Text();
        Assert.Contains("load{of=\"a\"} 1\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("of=\"b\"", text, StringComparison.Ordinal);
        Assert.Contains("time_total 5\n", text, StringComparison.Ordinal);

        static int Broken() => throw new InvalidOperationException("The device is gone.");
    }

    [Fact]
    public void Numbers_that_are_none_do_not_spoil_a_sum_and_series_are_bounded()
    {
        Counter<double> counter = _meter.CreateCounter<double>("sum");
        counter.Add(1);
        counter.Add(double.NaN);
        counter.Add(double.PositiveInfinity);
        Assert.Contains("sum_total 1\n", Text(), StringComparison.Ordinal);

        Gauge<double> gauge = _meter.CreateGauge<double>("level");
        gauge.Record(double.PositiveInfinity);
        Assert.Contains("level +Inf\n", Text(), StringComparison.Ordinal);

        Counter<int> wild = _meter.CreateCounter<int>("wild");
        for (int i = 0; i < CollectedMetric.MostSeries + 50; i++)
        {
            wild.Add(1, new KeyValuePair<string, object?>("user", i));
        }

        string text = Text();
        Assert.Equal(CollectedMetric.MostSeries + 1, text.Split('\n').Count(line => line.StartsWith("wild_total{", StringComparison.Ordinal)));
        Assert.Contains("wild_total{otel_metric_overflow=\"true\"} 50\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_measurement_of_known_attributes_costs_no_memory()
    {
        Histogram<double> histogram = _meter.CreateHistogram<double>("h");
        object tag = "x";
        long least = long.MaxValue;
        for (int i = 0; i < 40; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            histogram.Record(1, new("a", tag), new KeyValuePair<string, object?>("b", tag));
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public async Task Measuring_and_collecting_at_once_loses_nothing()
    {
        Counter<int> counter = _meter.CreateCounter<int>("n");
        Task[] writers = [.. Enumerable.Range(0, 4).Select(writer => Task.Run(() =>
        {
            for (int i = 0; i < 5_000; i++)
            {
                counter.Add(1, new KeyValuePair<string, object?>("bucket", i % 10));
            }
        }))];
        while (!Task.WhenAll(writers).IsCompleted)
        {
            Text();
        }

        await Task.WhenAll(writers);
        Assert.Equal(10, Text().Split('\n').Count(line => line.EndsWith(" 2000", StringComparison.Ordinal)));
    }

    private string Text() => PrometheusText.Write(_collector.Collect(), openMetrics: false);
}
