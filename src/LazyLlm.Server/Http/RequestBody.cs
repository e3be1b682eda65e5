using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;

namespace LazyLlm.Server.Http;

/// <summary>Reads requests in JSON: of a known type, no longer than allowed, within its time.</summary>
internal static class RequestBody
{
    /// <exception cref="ApiException">The body is of another type, no JSON, or a field has a type that it cannot have.</exception>
    public static async Task<T> ReadAsync<T>(HttpContext context, ServedModel model, JsonTypeInfo<T> type)
        where T : class
    {
        if (model.IsDraining)
        {
            throw ErrorResponses.Stopping();
        }

        RequireJson(context.Request);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        deadline.CancelAfter(model.Options.BodyTimeLimit);
        try
        {
            return await JsonSerializer.DeserializeAsync(context.Request.BodyReader, type, deadline.Token).ConfigureAwait(false)
                ?? throw ApiException.Invalid(null, "The body is null, expected a JSON object.");
        }
        catch (JsonException error)
        {
            throw Describe(error);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            context.Response.Headers.Connection = "close";
            throw new ApiException(408, ApiException.InvalidRequest, $"The body did not arrive within {model.Options.BodyTimeLimit.TotalSeconds:0.###} s.");
        }
    }

    private static void RequireJson(HttpRequest request)
    {
        // A page of another origin may send a form or plain text without asking, but not this type.
        if (!request.HasJsonContentType())
        {
            throw new ApiException(415, ApiException.InvalidRequest, $"Content-Type: found '{request.ContentType}', expected application/json.");
        }

        string? charset = MediaTypeHeaderValue.TryParse(request.ContentType, out MediaTypeHeaderValue? media) ? media.Charset.Value : null;
        if (charset is not null && !charset.Trim('"').Equals("utf-8", StringComparison.OrdinalIgnoreCase))
        {
            throw new ApiException(415, ApiException.InvalidRequest, $"Content-Type: found the charset {charset}, expected utf-8.");
        }
    }

    private static ApiException Describe(JsonException error)
    {
        const string Conversion = "could not be converted to";
        string message = error.Message.Split(" Path: ")[0].Split(" encountered during")[0];
        if (!message.Contains(Conversion, StringComparison.Ordinal))
        {
            return ApiException.Invalid(null, $"The body is not valid JSON: {message} (line {error.LineNumber + 1}, byte {error.BytePositionInLine + 1})");
        }

        string expected = message[(message.IndexOf(Conversion, StringComparison.Ordinal) + Conversion.Length)..];
        string kind = expected.Contains("[]", StringComparison.Ordinal) ? "an array"
            : expected.Contains("Int32", StringComparison.Ordinal) ? "a whole number of at most 2147483647"
            : expected.Contains("Int64", StringComparison.Ordinal) ? "a whole number of at most 9223372036854775807"
            : expected.Contains("Single", StringComparison.Ordinal) ? "a number"
            : expected.Contains("Boolean", StringComparison.Ordinal) ? "true or false"
            : expected.Contains("String", StringComparison.Ordinal) ? "a string"
            : "an object";
        string? field = error.Path is { Length: > 2 } path ? path[2..] : null;
        return field is null ? ApiException.Invalid(null, $"The body is not {kind}.") : ApiException.Invalid(field, $"expected {kind}.");
    }
}
