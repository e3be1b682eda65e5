using System.Diagnostics;
using LazyLlm.Server.Generation;
using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Endpoints;

/// <summary><c>/v1/completions</c> and <c>/v1/chat/completions</c>.</summary>
internal static class GenerationEndpoints
{
    public static void Map(WebApplication application, ServedModel model, ErrorResponses errors)
    {
        var reader = new RequestReader(model);
        application.MapPost("/v1/completions", async context =>
        {
            long arrival = Stopwatch.GetTimestamp();
            CompletionRequest request = await RequestBody.ReadAsync(context, model, ProtocolJson.Wire.CompletionRequest).ConfigureAwait(false);
            GenerationPlan plan = reader.Read(request, arrival);
            using var run = new GenerationRun(context, model, errors, plan, new CompletionForm(model.Name, plan.Echoes), arrival);
            await run.ServeAsync().ConfigureAwait(false);
        });
        application.MapPost("/v1/chat/completions", async context =>
        {
            long arrival = Stopwatch.GetTimestamp();
            ChatRequest request = await RequestBody.ReadAsync(context, model, ProtocolJson.Wire.ChatRequest).ConfigureAwait(false);
            using var run = new GenerationRun(context, model, errors, reader.Read(request, arrival), new ChatForm(model.Name), arrival);
            await run.ServeAsync().ConfigureAwait(false);
        });
    }
}
