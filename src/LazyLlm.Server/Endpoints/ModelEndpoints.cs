using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Endpoints;

/// <summary><c>/v1/models</c>: the one model that is served.</summary>
internal static class ModelEndpoints
{
    public static void Map(WebApplication application, ServedModel model)
    {
        application.MapGet("/v1/models", context => context.Response.WriteJsonAsync(200, new ModelList("list", [Describe(model)]), ProtocolJson.Wire.ModelList));
        application.MapGet("/v1/models/{name}", context => context.Request.RouteValues["name"] as string == model.Name
            ? context.Response.WriteJsonAsync(200, Describe(model), ProtocolJson.Wire.ModelDescription)
            : throw ApiException.NoSuchModel(context.Request.RouteValues["name"] as string, model.Name));
    }

    private static ModelDescription Describe(ServedModel model) => new(
        model.Name,
        "model",
        model.Started.ToUnixTimeSeconds(),
        "lazyllm",
        model.Engine.ContextLength,
        model.Options.Pruning.ToString()!,
        model.Engine.DeviceName);
}
