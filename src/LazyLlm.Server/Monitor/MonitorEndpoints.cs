using System.Globalization;
using System.Text.Json;
using LazyLlm.Server.Http;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace LazyLlm.Server.Monitor;

/// <summary>
/// The live monitor: its page at <c>/</c>, <c>/monitor/state</c>, which the page asks once a second for what is new, and
/// <c>/monitor/compare</c>, which runs a prompt dense and pruned. Both give out data, and ask for the key where there is one.
/// </summary>
internal static class MonitorEndpoints
{
    /// <summary>Adds what the endpoints need.</summary>
    public static void AddServices(IServiceCollection services, ServedModel model)
    {
        services.AddSingleton(_ => new LoadMonitor(model, TimeProvider.System));
        services.AddHostedService(provider => provider.GetRequiredService<LoadMonitor>());
    }

    public static void Map(WebApplication application, ServedModel model)
    {
        LoadMonitor monitor = application.Services.GetRequiredService<LoadMonitor>();
        MonitorFiles.Map(application);
        application.MapGet("/monitor/state", context =>
        {
            context.Response.Headers.CacheControl = "no-store";
            MonitorState state = monitor.StateAfter(Number(context.Request, "sample"), Number(context.Request, "ended"));
            return context.Response.WriteJsonAsync(StatusCodes.Status200OK, state, MonitorJson.Default.MonitorState);
        });
        application.MapPost("/monitor/compare", context => CompareAsync(context, model));
    }

    private static async Task CompareAsync(HttpContext context, ServedModel model)
    {
        // A form of another site cannot send this type without the browser asking first, and this server allows none.
        if (!context.Request.HasJsonContentType())
        {
            throw new ApiException(StatusCodes.Status415UnsupportedMediaType, ApiException.InvalidRequest, "Send the comparison as application/json.");
        }

        if (model.IsDraining)
        {
            throw ErrorResponses.Stopping();
        }

        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, model.StopNow);
        await new Comparison(model, await ReadAsync(context.Request, cancellation.Token)).WriteAsync(context.Response, cancellation.Token);
    }

    private static async Task<ComparisonRequest> ReadAsync(HttpRequest request, CancellationToken cancellation)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync(request.Body, MonitorJson.Default.ComparisonRequest, cancellation)
                ?? throw ApiException.Invalid(null, "The body is null, expected an object.");
        }
        catch (JsonException error)
        {
            throw ApiException.Invalid(error.Path, $"The body is no comparison: {error.Message}");
        }
    }

    private static long Number(HttpRequest request, string name) => request.Query[name].ToString() switch
    {
        "" => 0,
        string text when long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) => number,
        string text => throw ApiException.Invalid(name, $"found '{text}', expected a number from 0 on."),
    };
}
