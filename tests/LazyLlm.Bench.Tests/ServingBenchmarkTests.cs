using System.Text.Json;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Bench.Tests;

/// <summary>The benchmarks of scheduler and server run, and give every figure that they promise.</summary>
public class ServingBenchmarkTests
{
    [Fact]
    public async Task The_servers_benchmark_runs() => await RunAsync(
        ["server", "--length", "60", "--tokens", "4"],
        [.. Figures("session"), .. Figures("scheduler"), .. Figures("server"), .. Differences("scheduler"), .. Differences("server")]);

    [Fact]
    public async Task The_schedulers_benchmark_runs() => await RunAsync(
        ["scheduler", "--length", "20", "--tokens", "4"],
        ["8 at once, tokens/s", "8 at once / 1", .. Figures("session"), .. Figures("scheduler"), .. Differences("scheduler")]);

    private static string[] Figures(string name) => [$"TTFT: {name}, ms", $"decode: {name}, ms"];

    private static string[] Differences(string name) => [$"TTFT: {name} - session, ms", $"decode: {name} / session, tokens/s"];

    private static async Task RunAsync(string[] arguments, string[] figures)
    {
        using var scratch = new ScratchFolder();
        string json = scratch["figures.json"];
        (await BenchProcess.RunAsync([.. arguments, "--model", RepositoryFiles.Demo, "--device", "cpu", "--prune", "4:0.5", "--rounds", "1", "--json", json])).Succeeded();
        Dictionary<string, double> found = JsonSerializer.Deserialize<Dictionary<string, double>>(await File.ReadAllTextAsync(json, TestContext.Current.CancellationToken))!;
        Assert.All(figures, name => Assert.True(double.IsFinite(found[name]), name));
        Assert.All(figures.Where(name => !name.Contains('-', StringComparison.Ordinal)), name => Assert.True(found[name] > 0, name));
    }
}
