using System.Globalization;
using System.Text.Json;
using LazyLlm.Native.Errors;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LazyLlm.Server.Http;

/// <summary>Turns what goes wrong into a status and an error in OpenAI's form.</summary>
internal sealed partial class ErrorResponses(ServedModel model)
{
    private readonly ILogger _log = (model.Options.Logging ?? NullLoggerFactory.Instance).CreateLogger<LlamaServer>();

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        try
        {
            await next(context).ConfigureAwait(false);
            if (context.Response is { HasStarted: false, StatusCode: 404 or 405, ContentLength: null })
            {
                await WriteAsync(context, NoEndpoint(context)).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client has left.
        }
#pragma warning disable CA1031 // The outermost layer: whatever it is, this request ends and the server goes on.
        catch (Exception error)
#pragma warning restore CA1031
        {
            await WriteAsync(context, Describe(error)).ConfigureAwait(false);
        }
    }

    /// <summary>What a client is told of an error.</summary>
    public ApiException Describe(Exception error)
    {
        model.NoteFault(error);
        switch (error)
        {
            case ApiException known:
                return known;
            case InvalidOptionException invalid:
                (string param, string problem) = (FieldName(invalid.Option), invalid.Message[(invalid.Option.Length + 2)..]);
                return ApiException.Invalid(param, problem);
            case ContextLengthException overflow:
                return new ApiException(400, "exceed_context_size_error", $"The prompt has {overflow.Requested} tokens, but the context holds {overflow.Limit}. Shorten the prompt.", code: "context_length_exceeded")
                {
                    PromptTokens = overflow.Requested,
                    ContextLength = overflow.Limit,
                };
            case QueueFullException full:
                return new ApiException(429, "rate_limit_error", full.Message, code: "queue_full") { RetryAfter = 1 };
            case TimeLimitException late:
                return new ApiException(504, "timeout_error", late.Message, code: "time_limit");
            case DeviceLostException lost:
                return new ApiException(503, ApiException.ServerError, $"The device has failed for good and the server must be started again: {lost.Message}", code: "device_lost");
            case DeviceMemoryException memory:
                return new ApiException(503, ApiException.ServerError, memory.Message, code: "out_of_memory") { RetryAfter = 5 };
            case OperationCanceledException or ObjectDisposedException when model.IsDraining:
                return Stopping();
            case BadHttpRequestException bad:
                return new ApiException(bad.StatusCode, ApiException.InvalidRequest, bad.StatusCode switch
                {
                    413 => $"The body is longer than {model.Options.BodyLimit} bytes, the server's limit.",
                    408 => "The body arrives too slowly.",
                    _ => bad.Message,
                });
            case LazyLlmException failure:
                LogFailure(_log, failure);
                return new ApiException(500, ApiException.ServerError, failure.Message);
            default:
                LogFailure(_log, error);
                return new ApiException(500, ApiException.ServerError, "The server failed at this request; its log says more.");
        }
    }

    public static ApiException Stopping() => new(503, ApiException.ServerError, "The server is about to stop.", code: "draining") { RetryAfter = 5 };

    private static ApiException NoEndpoint(HttpContext context) => context.Response.StatusCode == 405
        ? new ApiException(405, ApiException.InvalidRequest, $"{context.Request.Path} does not take {context.Request.Method}.")
        : new ApiException(404, ApiException.InvalidRequest, $"There is nothing at {context.Request.Path}.");

    private static async Task WriteAsync(HttpContext context, ApiException error)
    {
        if (context.Response.HasStarted)
        {
            context.Abort();
            return;
        }

        if (error.RetryAfter is int seconds)
        {
            context.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        }
        else if (error.Status >= 500)
        {
            // OpenAI's clients try again by themselves unless told not to.
            context.Response.Headers["x-should-retry"] = "false";
        }

        try
        {
            await context.Response.WriteJsonAsync(error.Status, error.Response, ProtocolJson.Wire.ErrorResponse).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is OperationCanceledException or IOException)
        {
            // The client has left.
        }
    }

    /// <summary>The request's field that an option of the library comes from.</summary>
    private static string FieldName(string option) => option switch
    {
        "schedule" or "pruning schedule" => "pruning",
        "shared prefix" => "shared_prefix",
        "token id" => "prompt",
        _ when option.StartsWith("StopStrings", StringComparison.Ordinal) => $"stop{option["StopStrings".Length..]}",
        _ => JsonNamingPolicy.SnakeCaseLower.ConvertName(option),
    };

    [LoggerMessage(Level = LogLevel.Error, Message = "A request failed.")]
    private static partial void LogFailure(ILogger log, Exception error);
}
