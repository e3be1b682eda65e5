using System.Text.Json;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class BenchCommandTests
{
    private static readonly string[] Tiny = ["bench", "--shape", "tiny", "--device", "cpu", "--rounds", "2", "--decode", "3", "-q"];

    [Fact]
    public async Task Every_length_batch_and_schedule_is_a_row_with_its_figures()
    {
        JsonElement json = (await CommandRun.RunAsync([.. Tiny, "--lengths", "40,80", "--batch", "1,2", "-p", "2:0.5", "--json"])).Succeeded().Json;
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        Assert.Equal(
            ["1 40 none", "1 40 2:0.5", "1 80 none", "1 80 2:0.5", "2 40 none", "2 40 2:0.5", "2 80 none", "2 80 2:0.5"],
            results.Select(result => $"{result.GetProperty("batch")} {result.GetProperty("length")} {result.GetProperty("schedule")}"));
        Assert.All(results, result =>
        {
            Assert.True(result.GetProperty("first_token_ms").GetDouble() > 0);
            Assert.True(result.GetProperty("per_token_ms").GetDouble() > 0);
            Assert.Equal(2, result.GetProperty("rounds").GetArrayLength());
        });

        // 6 layers, 40 positions; under 2:0.5 the last 4 layers see half. Counted: fewer pairs, but the head counts in full.
        Assert.Equal(240, results[0].GetProperty("computed_pairs").GetInt64());
        Assert.Equal(160, results[1].GetProperty("computed_pairs").GetInt64());
        Assert.Equal(results[0].GetProperty("kv_bytes").GetInt64() * 2, results[1].GetProperty("kv_bytes").GetInt64() * 3);
        Assert.Equal(1, results[0].GetProperty("predicted_speed_up").GetDouble());
        Assert.Equal(1, results[0].GetProperty("speed_up").GetDouble());
        Assert.InRange(results[1].GetProperty("predicted_speed_up").GetDouble(), 1.3, 1.6);
        Assert.Contains("random weights", json.GetProperty("run").GetProperty("model").GetString());
    }

    [Fact]
    public async Task The_table_is_standard_output_and_files_go_where_they_are_asked_for()
    {
        using var scratch = new ScratchFolder();
        CommandRun run = (await CommandRun.RunAsync("bench", "-m", RepositoryFiles.Demo, "--device", "cpu", "--lengths", "30,60", "--rounds", "1", "--decode", "2", "--batch", "1,2", "-p", "4:0.5", "--json", scratch["bench.json"], "--plot", scratch["plots"])).Succeeded();
        Assert.Contains("demo: 12 layers", run.Out);
        Assert.Contains("30 prompt tokens", run.Out);
        Assert.Contains("2 sequences at a time, 60 prompt tokens each", run.Out);
        Assert.Contains("  4:0.5", run.Out);
        Assert.Equal(8, JsonDocument.Parse(File.ReadAllText(scratch["bench.json"])).RootElement.GetProperty("results").GetArrayLength());
        Assert.All(["bench-first-token", "bench-decode", "bench-speed-up", "bench-batch"], name =>
        {
            Assert.Equal([0x89, .. "PNG"u8], File.ReadAllBytes(Path.Combine(scratch["plots"], $"{name}.png"))[..4]);
            Assert.Contains("viewBox", File.ReadAllText(Path.Combine(scratch["plots"], $"{name}.svg")));
        });
    }

    [Theory]
    [InlineData("one of --model DIR and --shape NAME", "--model", "models/demo")]
    [InlineData("no number", "--lengths", ",")]
    [InlineData("'x'", "--lengths", "8,x")]
    [InlineData("rounds", "--rounds", "0")]
    [InlineData("warm-up", "--warm-up", "-1")]
    [InlineData("decode", "--decode", "-1")]
    [InlineData("'0'", "--batch", "0")]
    [InlineData("beyond the model", "--prune", "9:0.5")]
    [InlineData("exceed the context of 64", "--lengths", "62", "--context", "64")]
    [InlineData("'some'", "--profile-range", "some")]
    [InlineData("expected the device cuda", "--profile-range")]
    [InlineData("--layers", "--layers", "0")]
    public async Task What_cannot_be_measured_is_refused_in_one_line(string named, params string[] added) =>
        (await CommandRun.RunAsync([.. Tiny[..5], "--decode", "3", "-q", .. added])).Refused(ExitCode.Usage, named);

    [Fact]
    public async Task A_shape_that_nobody_knows_is_refused_with_those_there_are() =>
        (await CommandRun.RunAsync("bench", "--shape", "llama-9")).Refused(ExitCode.Usage, "llama-9", "llama-2-7b");
}
