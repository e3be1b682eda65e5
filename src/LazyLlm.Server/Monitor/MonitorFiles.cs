using System.Reflection;
using System.Security.Cryptography;
using LazyLlm.Server.Http;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Monitor;

/// <summary>The monitor's page: the files of <c>wwwroot</c>, which the assembly carries with it.</summary>
internal static class MonitorFiles
{
    // The page takes nothing from elsewhere and cannot be framed, so that no other site can press its buttons.
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private const string Prefix = "wwwroot/";

    /// <summary>Maps <c>/</c> to the page and <c>/monitor/NAME</c> to the other files. They hold no data and ask for no key.</summary>
    public static void Map(WebApplication application)
    {
        Assembly assembly = typeof(MonitorFiles).Assembly;
        foreach (string resource in assembly.GetManifestResourceNames())
        {
            if (resource.StartsWith(Prefix, StringComparison.Ordinal))
            {
                string name = resource[Prefix.Length..];
                application.MapMethods(name == "index.html" ? "/" : $"/monitor/{name}", [HttpMethods.Get, HttpMethods.Head], Serve(name, Read(assembly, resource)))
                    .WithMetadata(PublicEndpoint.Instance);
            }
        }
    }

    private static RequestDelegate Serve(string name, byte[] content)
    {
        string tag = $"\"{Convert.ToHexStringLower(SHA256.HashData(content).AsSpan(0, 12))}\"";
        string type = Path.GetExtension(name) switch
        {
            ".html" => "text/html; charset=utf-8",
            ".css" => "text/css; charset=utf-8",
            ".js" => "text/javascript; charset=utf-8",
            ".svg" => "image/svg+xml",
            string other => throw new InvalidOperationException($"The page's file {name} has an extension without a media type: '{other}'."),
        };
        return async context =>
        {
            IHeaderDictionary headers = context.Response.Headers;
            headers.ContentSecurityPolicy = ContentSecurityPolicy;
            headers.XContentTypeOptions = "nosniff";
            headers["Referrer-Policy"] = "no-referrer";
            headers.CacheControl = "no-cache";
            headers.ETag = tag;
            if (context.Request.Headers.IfNoneMatch == tag)
            {
                context.Response.StatusCode = StatusCodes.Status304NotModified;
                return;
            }

            context.Response.ContentType = type;
            context.Response.ContentLength = content.Length;
            if (!HttpMethods.IsHead(context.Request.Method))
            {
                await context.Response.Body.WriteAsync(content, context.RequestAborted);
            }
        };
    }

    private static byte[] Read(Assembly assembly, string resource)
    {
        using Stream stream = assembly.GetManifestResourceStream(resource)!;
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }
}
