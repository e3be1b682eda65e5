using System.Diagnostics;

namespace LazyLlm.Server.Tests.Monitor;

/// <summary>The page in headless Chromium, driven by <c>monitor/monitor.test.js</c> against real servers.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class MonitorPageTests
{
    private const string Key = "monitor-test-key";

    [Fact]
    public async Task The_page_works_in_a_browser()
    {
        string folder = Path.Combine(RepositoryFiles.Root, "tests", "LazyLlm.Server.Tests", "monitor");
        string chromium = Environment.GetEnvironmentVariable("CHROMIUM") ?? "/usr/bin/chromium";
        Assert.SkipUnless(File.Exists(chromium), $"{chromium} is not there: install Chromium, or name it in CHROMIUM.");
        Assert.SkipUnless(Directory.Exists(Path.Combine(folder, "node_modules")), $"the test's packages are not there: run 'npm ci' in {folder}.");
        using Process? version = TryStart(new ProcessStartInfo("node", "--version") { RedirectStandardOutput = true });
        Assert.SkipWhen(version is null, "node is not there: install Node.js 20 or later.");

        await using DemoServer open = await DemoServer.StartAsync();
        await using DemoServer keyed = await DemoServer.StartAsync(new LlamaServerOptions { ApiKey = Key });
        var start = new ProcessStartInfo("node", ["--test", "--test-reporter=spec", "monitor.test.js"])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["CHROMIUM"] = chromium;
        start.Environment["MONITOR_URL"] = open.Server.Address.ToString();
        start.Environment["MONITOR_KEYED_URL"] = keyed.Server.Address.ToString();
        start.Environment["MONITOR_KEY"] = Key;
        using Process node = Process.Start(start)!;
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(4));
        Task<string> output = node.StandardOutput.ReadToEndAsync(patience.Token);
        Task<string> errors = node.StandardError.ReadToEndAsync(patience.Token);
        try
        {
            await node.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            node.Kill(entireProcessTree: true);
            throw;
        }

        Assert.True(node.ExitCode == 0, $"{await output}\n{await errors}");
        Assert.Contains("pass 9", await output, StringComparison.Ordinal);
    }

    private static Process? TryStart(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
