using System.Collections;
using LazyLlm.Native.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace LazyLlm.Server.Metrics;

/// <summary>Sends metrics and traces by OpenTelemetry's protocol (OTLP), where a receiver is named.</summary>
internal static class OpenTelemetryExport
{
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";
    private const string MetricsEndpointVariable = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    private const string TracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    /// <summary>
    /// Switches the export on if the option or a standard variable names a receiver. All of the standard variables
    /// (<c>OTEL_EXPORTER_OTLP_PROTOCOL</c>, <c>OTEL_SERVICE_NAME</c>, <c>OTEL_METRIC_EXPORT_INTERVAL</c>, ...) are honoured.
    /// </summary>
    public static void AddTo(WebApplicationBuilder builder, Uri? endpoint)
    {
        // The server's configuration is otherwise empty: of the environment it takes these variables alone.
        var variables = new Dictionary<string, string?>();
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            if (variable.Key is string name && name.StartsWith("OTEL_", StringComparison.Ordinal))
            {
                variables[name] = (string?)variable.Value;
            }
        }

        if (endpoint is not null)
        {
            variables[EndpointVariable] = endpoint.ToString();
        }

        bool hasMetrics = Names(MetricsEndpointVariable);
        bool hasTraces = Names(TracesEndpointVariable);
        if (variables.GetValueOrDefault("OTEL_SDK_DISABLED") is "true" || !(hasMetrics || hasTraces))
        {
            return;
        }

        builder.Configuration.AddInMemoryCollection(variables);
        OpenTelemetryBuilder telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource
                .AddService("lazyllm", serviceVersion: typeof(OpenTelemetryExport).Assembly.GetName().Version?.ToString(3))
                .AddEnvironmentVariableDetector());
        if (hasMetrics)
        {
            telemetry.WithMetrics(metrics => metrics.AddMeter(MetricsEndpoint.Meters).AddOtlpExporter());
        }

        if (hasTraces)
        {
            telemetry.WithTracing(traces => traces
                .AddSource(EngineMetrics.MeterName)
                .AddAspNetCoreInstrumentation(requests => requests.Filter = context => !IsPolled(context.Request.Path))
                .AddOtlpExporter());
        }

        // What monitors ask for every few seconds would fill the traces with nothing.
        static bool IsPolled(PathString path) => path == "/metrics" || path == "/health" || path == "/monitor/state";

        bool Names(string variable) =>
            !string.IsNullOrEmpty(variables.GetValueOrDefault(variable)) || !string.IsNullOrEmpty(variables.GetValueOrDefault(EndpointVariable));
    }
}
