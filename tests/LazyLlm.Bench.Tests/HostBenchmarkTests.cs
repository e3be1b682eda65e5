using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Bench.Tests;

public class HostBenchmarkTests
{
    [Fact]
    public async Task Every_benchmark_of_the_host_runs_once()
    {
        BenchProcess.RequireStandIn();
        using var scratch = new ScratchFolder();
        BenchProcess run = (await BenchProcess.RunAsync("host", "--job", "dry", "--artifacts", scratch["host"])).Succeeded();
        Assert.All(
            ["DriverCallsAlone", "GatherRows", "AttentionOfOneRow", "EmbedOneToken", "ParseHeader", "Encode", "MicrosoftMLTokenizers", "FullSort", "Select", "Greedy", "TopP"],
            name => Assert.Matches($@"(?m)^\| {name} .*\d\.?\d* [mun]s", run.Out));
        Assert.Equal(5, Directory.GetFiles(Path.Combine(scratch["host"], "results"), "*.csv").Length);
    }

    [Fact]
    public async Task Without_a_driver_the_launches_are_left_out_and_said_to_be()
    {
        using var scratch = new ScratchFolder();
        BenchProcess run = (await BenchProcess.RunAsync("dotnet", [("LAZYLLM_CUDA_DRIVER", scratch["none.so"])], [BenchProcess.Program, "host", "--job", "dry", "--filter", "*Sampling*", "--artifacts", scratch["host"]])).Succeeded();
        Assert.Contains("launch benchmarks are left out", run.Error);
        Assert.Contains("| Greedy", run.Out);
    }
}
