using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Endpoints;

/// <summary><c>/health</c>: whether requests are taken. Needs no key.</summary>
internal static class HealthEndpoint
{
    public static void Map(WebApplication application, ServedModel model) =>
        application.MapGet("/health", context => AnswerAsync(context, model)).WithMetadata(PublicEndpoint.Instance);

    private static Task AnswerAsync(HttpContext context, ServedModel model)
    {
        string status = model.Scheduler.Fault is not null ? "faulted" : model.IsDraining ? "draining" : "ok";
        return context.Response.WriteJsonAsync(status == "ok" ? 200 : 503, new HealthResponse(status), ProtocolJson.Wire.HealthResponse);
    }
}
