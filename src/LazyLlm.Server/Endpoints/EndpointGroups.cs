using LazyLlm.Server.Http;
using LazyLlm.Server.Metrics;
using LazyLlm.Server.Monitor;
using Microsoft.AspNetCore.Builder;

namespace LazyLlm.Server.Endpoints;

/// <summary>Everything that the server answers to: one line per group of endpoints.</summary>
internal static class EndpointGroups
{
    public static void Map(WebApplication application, ServedModel model, ErrorResponses errors)
    {
        HealthEndpoint.Map(application, model);
        ModelEndpoints.Map(application, model);
        GenerationEndpoints.Map(application, model, errors);
        TokenEndpoints.Map(application, model);
        MetricsEndpoint.Map(application);
        MonitorEndpoints.Map(application, model);
    }
}
