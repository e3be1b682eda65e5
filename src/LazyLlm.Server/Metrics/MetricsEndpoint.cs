using System.Diagnostics.Metrics;
using LazyLlm.Native.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Net.Http.Headers;

namespace LazyLlm.Server.Metrics;

/// <summary><c>/metrics</c>: everything that the server measures, for Prometheus and whoever reads its format.</summary>
internal static class MetricsEndpoint
{
    /// <summary>The meters that the server reports: its own, the engine's, the web server's and the runtime's.</summary>
    public static readonly string[] Meters =
    [
        EngineMetrics.MeterName,
        ServerInstruments.MeterName,
        "Microsoft.AspNetCore.Hosting",
        "Microsoft.AspNetCore.Server.Kestrel",
        "System.Runtime",
    ];

    /// <summary>Adds what the endpoint needs.</summary>
    public static void AddServices(IServiceCollection services, ServedModel model)
    {
        services.AddMetrics();
        services.AddSingleton(provider => new ServerInstruments(provider.GetRequiredService<IMeterFactory>(), model));
        services.AddSingleton(provider =>
        {
            // Other hosts in this process have meters of the same names; theirs carry their own factory as scope.
            IMeterFactory factory = provider.GetRequiredService<IMeterFactory>();
            return new MetricsCollector(instrument => Meters.Contains(instrument.Meter.Name) && (instrument.Meter.Scope is null || ReferenceEquals(instrument.Meter.Scope, factory)));
        });
    }

    /// <summary>Maps the endpoint. Measuring begins here, not with the first request for it.</summary>
    public static void Map(WebApplication application)
    {
        application.Services.GetRequiredService<ServerInstruments>();
        MetricsCollector collector = application.Services.GetRequiredService<MetricsCollector>();
        application.MapGet("/metrics", context =>
        {
            bool openMetrics = PrefersOpenMetrics(context.Request);
            context.Response.ContentType = openMetrics ? PrometheusText.OpenMetricsContentType : PrometheusText.ContentType;
            context.Response.Headers.CacheControl = "no-store";
            return context.Response.WriteAsync(PrometheusText.Write(collector.Collect(), openMetrics), context.RequestAborted);
        });
    }

    private static bool PrefersOpenMetrics(HttpRequest request)
    {
        double openMetrics = 0;
        double plain = 0;
        if (MediaTypeHeaderValue.TryParseList(request.Headers.Accept, out IList<MediaTypeHeaderValue>? accepted))
        {
            foreach (MediaTypeHeaderValue type in accepted)
            {
                if (type.MediaType.Equals("application/openmetrics-text", StringComparison.OrdinalIgnoreCase))
                {
                    openMetrics = Math.Max(openMetrics, type.Quality ?? 1);
                }
                else if (type.MediaType.Equals("text/plain", StringComparison.OrdinalIgnoreCase))
                {
                    plain = Math.Max(plain, type.Quality ?? 1);
                }
            }
        }

        return openMetrics > 0 && openMetrics >= plain;
    }
}
