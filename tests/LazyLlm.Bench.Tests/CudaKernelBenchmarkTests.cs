using System.Text.Json;
using System.Text.Json.Nodes;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Bench.Tests;

public class CudaKernelBenchmarkTests
{
    private static readonly string[] Tiny = ["cuda-kernels", "--shape", "tiny", "--sizes", "tiny"];

    [Fact]
    public async Task Every_kernel_of_the_layer_loop_is_timed_against_its_floor()
    {
        BenchProcess.RequireStandIn();
        using var scratch = new ScratchFolder();
        BenchProcess run = (await BenchProcess.RunAsync([.. Tiny, "--json", scratch["kernels.json"]])).Succeeded();
        JsonElement report = JsonDocument.Parse(File.ReadAllText(scratch["kernels.json"])).RootElement;
        JsonElement[] rows = [.. report.GetProperty("rows").EnumerateArray()];
        Assert.All(rows, row => Assert.True(row.GetProperty("us").GetDouble() > 0));
        Assert.Superset(
            new HashSet<string?>
            {
                "copy", "linear_qkv", "linear_attention_output", "linear_gate_up", "linear_down", "logits", "attend_dense", "attend_gathered", "score_last", "select_tokens",
                "gather_rows", "scatter_rows", "rms_norm", "rms_norm_gathering", "rope_to_cache", "embed", "arg_max", "launch_alone", "launch_in_graph", "launch_call_on_host",
            },
            rows.Select(row => row.GetProperty("kernel").GetString()).ToHashSet());
        double copyRate = report.GetProperty("copy_gb_per_s").GetDouble();
        double peak = report.GetProperty("tensor_tflops").GetDouble();
        foreach (JsonElement row in rows.Where(row => row.GetProperty("bytes").GetDouble() > 0 && row.GetProperty("group").GetString() != "copy"))
        {
            double floor = Math.Max(row.GetProperty("bytes").GetDouble() / copyRate / 1e3, row.GetProperty("operations").GetDouble() / peak / 1e6);
            Assert.Equal(floor, row.GetProperty("floor_us").GetDouble(), floor * 1e-9);
        }

        JsonElement product = rows.First(row => row.GetProperty("kernel").GetString() == "linear_qkv");
        Assert.Equal(2 * ((128 * 64) + 64 + 128), product.GetProperty("bytes").GetDouble());
        Assert.Equal(2 * 128 * 64, product.GetProperty("operations").GetDouble());
        Assert.Contains("| linear_gate_up", run.Out);
    }

    [Fact]
    public async Task A_kernel_that_fails_is_a_row_that_says_why_and_the_rest_goes_on()
    {
        BenchProcess.RequireStandIn();
        using var scratch = new ScratchFolder();
        BenchProcess run = await BenchProcess.RunAsync("dotnet", [("LAZYLLM_STANDIN", "fail.alloc=20")], [BenchProcess.Program, .. Tiny, "--only", "rows", "products", "--json", scratch["kernels.json"]]);
        Assert.Equal(1, run.ExitCode);
        JsonElement[] rows = [.. JsonDocument.Parse(File.ReadAllText(scratch["kernels.json"])).RootElement.GetProperty("rows").EnumerateArray()];
        JsonElement failed = Assert.Single(rows, row => row.GetProperty("us").ValueKind == JsonValueKind.Null);
        Assert.Contains("memory", failed.GetProperty("error").GetString());
        Assert.Equal("arg_max", rows[^1].GetProperty("kernel").GetString());
        Assert.Contains("1 of", run.Out);
    }

    [Fact]
    public async Task A_report_has_the_peers_times_beside_ours_and_figures()
    {
        BenchProcess.RequireStandIn();
        using var scratch = new ScratchFolder();
        (await BenchProcess.RunAsync([.. Tiny, "--only", "selection", "products", "--json", scratch["kernels.json"]])).Succeeded();
        JsonNode ours = JsonNode.Parse(File.ReadAllText(scratch["kernels.json"]))!;
        JsonNode row = ours["rows"]!.AsArray().First(row => (string?)row!["peer"] == "topk")!;

        // Twice our time, and the sizes in another order.
        double time = 2 * (double)row["us"]!;
        File.WriteAllText(scratch["peers.json"], $$$"""{"rows":[{"peer":"topk","sizes":{"keep":{{{row["sizes"]!["keep"]}}},"tokens":{{{row["sizes"]!["tokens"]}}}},"us":{{{time:R}}}},{"peer":"copy","sizes":{"kib":7},"us":null}]}""");
        BenchProcess run = (await BenchProcess.RunAsync("kernel-report", scratch["kernels.json"], "--peers", scratch["peers.json"], "--plot", scratch["plots"])).Succeeded();
        Assert.EndsWith("2.00 |", run.Out.Split('\n').First(line => line.Contains("select_tokens", StringComparison.Ordinal)).TrimEnd());
        Assert.Equal(["kernels-bandwidth.png", "kernels-bandwidth.svg", "kernels-roofline.png", "kernels-roofline.svg"], Directory.GetFiles(scratch["plots"]).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Everything_of_a_machine_runs_into_a_folder_by_one_command()
    {
        BenchProcess.RequireStandIn();
        using var scratch = new ScratchFolder();
        BenchProcess run = (await BenchProcess.RunAsync(
            "bash",
            [("SHAPE", "tiny"), ("SIZES", "tiny"), ("LENGTHS", "24"), ("ROUNDS", "1"), ("STEPS", "kernels report model"), ("BENCH_DLL", BenchProcess.Program), ("TOOL_DLL", Tool())],
            Path.Combine(RepositoryFiles.Root, "bench", "gpu", "all.sh"),
            scratch["out"])).Succeeded();
        Assert.All(["kernels", "report", "model"], step => Assert.Matches($"(?m)^{step}: ok", run.Out));
        Assert.All(["kernels.json", "kernels.txt", "report.txt", "model.json", "kernels-roofline.png", "bench-first-token.png"], file => Assert.True(File.Exists(Path.Combine(scratch["out"], file)), file));
    }

    [Theory]
    [InlineData("--sizes", "huge")]
    [InlineData("--shape", "llama-9")]
    [InlineData("--only", "everything")]
    public async Task What_nobody_knows_is_refused_in_one_line(string option, string value)
    {
        BenchProcess run = await BenchProcess.RunAsync("cuda-kernels", option, value);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(value, Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)));
    }

    private static string Tool() => Path.Combine(AppContext.BaseDirectory, "lazyllm.dll");
}
