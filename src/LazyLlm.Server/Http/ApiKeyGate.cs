using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Http;

/// <summary>Lets requests pass that bring the key, and those to public endpoints.</summary>
internal sealed class ApiKeyGate(string? key)
{
    private const string Scheme = "Bearer ";

    // Digests have one length, so that comparing them tells nothing of the key's.
    private readonly byte[]? _digest = key is null ? null : Digest(key);

    public Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        if (_digest is null || context.GetEndpoint()?.Metadata.GetMetadata<PublicEndpoint>() is not null || HasKey(context.Request.Headers.Authorization.ToString()))
        {
            return next(context);
        }

        context.Response.Headers.WWWAuthenticate = "Bearer";
        throw new ApiException(
            401,
            "invalid_request_error",
            context.Request.Headers.Authorization.Count == 0
                ? "The request brings no API key. Send it as 'Authorization: Bearer KEY'."
                : "The API key is not the server's.",
            code: "invalid_api_key");
    }

    private static byte[] Digest(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));

    private bool HasKey(string header) =>
        header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) && CryptographicOperations.FixedTimeEquals(Digest(header[Scheme.Length..].Trim()), _digest);
}
