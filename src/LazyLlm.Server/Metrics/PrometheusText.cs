using System.Globalization;
using System.Text;

namespace LazyLlm.Server.Metrics;

/// <summary>
/// Metrics as text, in Prometheus's format (0.0.4) or as OpenMetrics (1.0.0), under the names that OpenTelemetry's rules
/// give them there: <c>gen_ai.server.request.duration</c> in seconds is <c>gen_ai_server_request_duration_seconds</c>.
/// </summary>
internal static class PrometheusText
{
    /// <summary>The media type of Prometheus's own format.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>The media type of OpenMetrics.</summary>
    public const string OpenMetricsContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// <summary>Writes metrics. Of two that come out with the same name the first is written.</summary>
    public static string Write(IEnumerable<CollectedMetric> metrics, bool openMetrics)
    {
        var text = new StringBuilder();
        var written = new HashSet<string>(StringComparer.Ordinal);
        foreach (CollectedMetric metric in metrics)
        {
            string name = NameOf(metric);
            if (!metric.IsEmpty && written.Add(name))
            {
                Write(text, metric, name, openMetrics);
            }
        }

        return text.Append(openMetrics ? "# EOF\n" : "").ToString();
    }

    /// <summary>The name of a metric's family: only letters, digits and underscores, its unit at its end, without <c>_total</c>.</summary>
    public static string NameOf(CollectedMetric metric)
    {
        string name = Identifier(metric.Name);
        string unit = UnitOf(metric);
        if (metric.Kind == MetricKind.Counter && name.EndsWith("_total", StringComparison.Ordinal))
        {
            name = name[..^"_total".Length];
        }

        return unit.Length == 0 || name.EndsWith($"_{unit}", StringComparison.Ordinal) ? name : $"{name}_{unit}";
    }

    private static void Write(StringBuilder text, CollectedMetric metric, string family, bool openMetrics)
    {
        string unit = UnitOf(metric);
        bool isCounter = metric.Kind == MetricKind.Counter;
        string sample = isCounter ? $"{family}_total" : family;
        string header = openMetrics ? family : sample;
        text.Append(CultureInfo.InvariantCulture, $"# HELP {header} {Escape(metric.Description, quotes: openMetrics)}\n");
        text.Append(CultureInfo.InvariantCulture, $"# TYPE {header} {(isCounter ? "counter" : metric.Kind == MetricKind.Histogram ? "histogram" : "gauge")}\n");
        if (openMetrics && unit.Length > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"# UNIT {header} {unit}\n");
        }

        metric.Read(series =>
        {
            if (metric.Kind == MetricKind.Histogram)
            {
                WriteHistogram(text, metric, series, family, openMetrics);
                return;
            }

            WriteSample(text, sample, series, null, Number(series.Value));
        });
    }

    private static void WriteHistogram(StringBuilder text, CollectedMetric metric, MetricSeries series, string family, bool openMetrics)
    {
        long below = 0;
        for (int i = 0; i < metric.Bounds.Length; i++)
        {
            below += series.Buckets[i];
            WriteSample(text, $"{family}_bucket", series, Bound(metric.Bounds[i], openMetrics), Number(below));
        }

        WriteSample(text, $"{family}_bucket", series, "+Inf", Number(series.Count));
        WriteSample(text, $"{family}_sum", series, null, Number(series.Value));
        WriteSample(text, $"{family}_count", series, null, Number(series.Count));
    }

    private static void WriteSample(StringBuilder text, string name, MetricSeries series, string? bound, string value)
    {
        text.Append(name);
        char separator = '{';
        foreach (KeyValuePair<string, object?> tag in series.Tags)
        {
            text.Append(CultureInfo.InvariantCulture, $"{separator}{Identifier(tag.Key)}=\"{Escape(Text(tag.Value), quotes: true)}\"");
            separator = ',';
        }

        if (bound is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $"{separator}le=\"{bound}\"");
            separator = ',';
        }

        text.Append(separator == ',' ? "} " : " ").Append(value).Append('\n');
    }

    private static string UnitOf(CollectedMetric metric) => metric.Unit switch
    {
        "s" => "seconds",
        "ms" => "milliseconds",
        "By" => "bytes",
        "1" => metric.Kind == MetricKind.Gauge ? "ratio" : "",
        "%" => "percent",
        _ => metric.Unit.StartsWith('{') ? "" : Identifier(metric.Unit),
    };

    private static string Identifier(string name)
    {
        if (name.Length == 0)
        {
            return "";
        }

        var text = new StringBuilder(name.Length + 1);
        if (char.IsAsciiDigit(name[0]))
        {
            text.Append('_');
        }

        foreach (char character in name)
        {
            text.Append(char.IsAsciiLetterOrDigit(character) ? character : '_');
        }

        return text.ToString();
    }

    private static string Escape(string text, bool quotes)
    {
        text = text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
        return quotes ? text.Replace("\"", "\\\"", StringComparison.Ordinal) : text;
    }

    private static string Text(object? value) => value switch
    {
        null => "",
        bool flag => flag ? "true" : "false",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    private static string Bound(double bound, bool openMetrics)
    {
        string text = Number(bound);
        return openMetrics && double.IsInteger(bound) && !text.Contains('E', StringComparison.Ordinal) ? $"{text}.0" : text;
    }

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf" : double.IsNegativeInfinity(value) ? "-Inf" : value.ToString("R", CultureInfo.InvariantCulture);
}
