using LazyLlm.Server.Protocol;

namespace LazyLlm.Server.Http;

/// <summary>A request that cannot be served: the status and error that its client gets.</summary>
internal sealed class ApiException(int status, string type, string message, string? param = null, string? code = null) : Exception(message)
{
    public const string InvalidRequest = "invalid_request_error";

    public const string ServerError = "server_error";

    public int Status { get; } = status;

    public long? PromptTokens { get; init; }

    public int? ContextLength { get; init; }

    /// <summary>Seconds after which a client may try again; null where trying again is in vain.</summary>
    public int? RetryAfter { get; init; }

    public ErrorResponse Response => new(new ErrorDetail(Message, type, param, code, PromptTokens, ContextLength));

    /// <summary>A field of the request that is wrong.</summary>
    public static ApiException Invalid(string? param, string message, string? code = null) => new(400, InvalidRequest, param is null ? message : $"{param}: {message}", param, code);

    public static ApiException NoSuchModel(string? name, string served) =>
        new(404, InvalidRequest, $"model: found '{name}', expected '{served}', which is the one served here. Leave the field out, or name that.", "model", "model_not_found");
}
