namespace LazyLlm.Server.Tests;

/// <summary>The official client for JavaScript (npm's <c>openai</c>), driven by <c>openai/openai.test.js</c>.</summary>
public sealed class OpenAiClientTests
{
    private const string Key = "client-test-key";

    [Fact]
    public async Task The_official_client_works_with_the_server()
    {
        NodeTests tests = NodeTests.Require("openai");
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ApiKey = Key });
        await tests.RunAsync(7, ("OPENAI_TEST_URL", $"{server.Server.Address}v1"), ("OPENAI_TEST_KEY", Key));
    }
}
