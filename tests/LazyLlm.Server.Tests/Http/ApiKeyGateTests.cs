using System.Net;

namespace LazyLlm.Server.Tests.Http;

public sealed class ApiKeyGateTests
{
    [Theory]
    [InlineData(null, false)]
    [InlineData("Bearer wrong", false)]
    [InlineData("Bearer sesam", false)]
    [InlineData("Bearer sesamesesame", false)]
    [InlineData("Bearer ", false)]
    [InlineData("Basic sesame", false)]
    [InlineData("sesame", false)]
    [InlineData("Bearer sesame", true)]
    [InlineData("bearer sesame", true)]
    public async Task Only_the_key_opens_and_only_health_and_the_pages_files_are_public(string? authorization, bool opens)
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ApiKey = "sesame" });
        using var client = new HttpClient { BaseAddress = server.Server.Address };
        if (authorization is not null)
        {
            client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", authorization);
        }

        foreach ((string path, bool isPublic) in new[] { ("v1/models", false), ("metrics", false), ("monitor/state", false), ("health", true), ("", true) })
        {
            using HttpResponseMessage response = await client.GetAsync(new Uri(path, UriKind.Relative));
            Assert.Equal(opens || isPublic ? HttpStatusCode.OK : HttpStatusCode.Unauthorized, response.StatusCode);
            Assert.Equal(response.StatusCode == HttpStatusCode.Unauthorized, response.Headers.WwwAuthenticate.Count == 1);
        }

        using HttpResponseMessage unknown = await client.GetAsync(new Uri("nope", UriKind.Relative));
        Assert.Equal(opens ? HttpStatusCode.NotFound : HttpStatusCode.Unauthorized, unknown.StatusCode);
        using var content = new StringContent("""{"prompt":"a","max_tokens":1}""", System.Text.Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await client.PostAsync(new Uri("v1/completions", UriKind.Relative), content);
        Assert.Equal(opens ? HttpStatusCode.OK : HttpStatusCode.Unauthorized, answer.StatusCode);
    }
}
