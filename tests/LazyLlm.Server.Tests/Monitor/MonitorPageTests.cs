namespace LazyLlm.Server.Tests.Monitor;

/// <summary>The page in headless Chromium, driven by <c>monitor/monitor.test.js</c> against real servers.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class MonitorPageTests
{
    private const string Key = "monitor-test-key";

    [Fact]
    public async Task The_page_works_in_a_browser()
    {
        string chromium = Environment.GetEnvironmentVariable("CHROMIUM") ?? "/usr/bin/chromium";
        Assert.SkipUnless(File.Exists(chromium), $"{chromium} is not there: install Chromium, or name it in CHROMIUM.");
        NodeTests tests = NodeTests.Require("monitor");
        await using DemoServer open = await DemoServer.StartAsync();
        await using DemoServer keyed = await DemoServer.StartAsync(new LlamaServerOptions { ApiKey = Key });
        await tests.RunAsync(
            10,
            ("CHROMIUM", chromium),
            ("MONITOR_URL", open.Server.Address.ToString()),
            ("MONITOR_KEYED_URL", keyed.Server.Address.ToString()),
            ("MONITOR_KEY", Key));
    }
}
