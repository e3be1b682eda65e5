using System.Text.Json;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class OtherCommandTests
{
    private const string Prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";

    [Fact]
    public async Task Help_is_data_and_names_every_verb()
    {
        CommandRun run = (await CommandRun.RunAsync()).Succeeded();
        Assert.All(["demo", "generate", "chat", "compare", "trace", "eval", "bench", "inspect", "tokenize", "doctor", "cache"], verb => Assert.Contains($"  {verb}", run.Out));
        Assert.Equal("", run.Error);
    }

    [Fact]
    public async Task An_unknown_verb_is_a_usage_error() => (await CommandRun.RunAsync("fly")).Refused(ExitCode.Usage, "fly");

    [Fact]
    public async Task Compare_runs_the_dense_model_and_each_schedule()
    {
        string[] args = ["compare", "-m", RepositoryFiles.Demo, "--device", "cpu", "-p", "4:0.5", "-p", "2:0.9", "--stop", ".", Prompt];
        JsonElement[] runs = [.. (await CommandRun.RunAsync([.. args, "--json", "-q"])).Succeeded().Json.GetProperty("runs").EnumerateArray()];
        Assert.Equal(["none", "4:0.5", "2:0.9"], runs.Select(run => run.GetProperty("schedule").GetString()));
        Assert.Equal(" attic", runs[0].GetProperty("text").GetString());
        Assert.Equal(1, runs[0].GetProperty("prefill").GetProperty("computed_share").GetDouble());
        Assert.All(runs[1..], run => Assert.InRange(run.GetProperty("prefill").GetProperty("computed_share").GetDouble(), 0.3, 0.99));
        CommandRun drawn = (await CommandRun.RunAsync(args)).Succeeded();
        Assert.Contains("attic", drawn.Out);
        Assert.Contains("layers 4-11", drawn.Error);
    }

    [Fact]
    public async Task Inspect_counts_what_the_folder_holds()
    {
        JsonElement json = (await CommandRun.RunAsync("inspect", "-m", RepositoryFiles.Demo, "--json", "--length", "1000", "--prune", "4:0.1")).Succeeded().Json;
        Assert.Equal(2_804_864, json.GetProperty("parameters").GetInt64());
        Assert.Equal(111, json.GetProperty("tensors").GetArrayLength());
        JsonElement memory = json.GetProperty("memory");
        Assert.Equal(2L * 128 * 4 * 12 * 1000, memory.GetProperty("dense_kv_bytes_float32").GetInt64());
        Assert.Equal(2L * 128 * 4 * ((4 * 1000) + (8 * 100)), memory.GetProperty("kv_bytes_float32").GetInt64());
        Assert.Contains("tokenizer.model", (await CommandRun.RunAsync("inspect", "-m", RepositoryFiles.Demo, "--tensors")).Succeeded().Out);
    }

    [Fact]
    public async Task Doctor_says_what_it_found_whatever_that_is()
    {
        CommandRun run = (await CommandRun.RunAsync("doctor", "--json")).Succeeded();
        Assert.True(run.Json.GetProperty("cpu").GetProperty("cores").GetInt32() >= 1);
        bool isUsable = run.Json.GetProperty("cuda").GetProperty("usable").GetBoolean();
        Assert.Equal(isUsable, run.Json.GetProperty("cuda").GetProperty("problems").GetArrayLength() == 0);
        Assert.Contains(isUsable ? "usable" : "not usable", (await CommandRun.RunAsync("doctor")).Succeeded().Out);
    }

    [Fact]
    public async Task The_kernel_cache_is_listed_and_cleared()
    {
        using var scratch = new ScratchFolder();
        CommandRun empty = (await CommandRun.RunAsync("cache", "list", "--folder", scratch["kernels"], "--json")).Succeeded();
        Assert.Equal(0, empty.Json.GetProperty("entries").GetArrayLength());
        Assert.Contains("0 kernels", (await CommandRun.RunAsync("cache", "list", "--folder", scratch["kernels"])).Succeeded().Out);
        Assert.Equal(0, (await CommandRun.RunAsync("cache", "clear", "--folder", scratch["kernels"], "--json")).Succeeded().Json.GetProperty("deleted_files").GetInt32());
        Assert.False(Directory.Exists(scratch["kernels"]));
    }

    [Fact]
    public async Task Chat_answers_every_line_and_takes_commands()
    {
        string input = "Hello.\n\n/stats\n/reset\nHello.\nAnd now?\n/fly\n/exit\nnever read\n";
        CommandRun run = (await CommandRun.RunAsync(input, ["chat", "-m", RepositoryFiles.Demo, "--device", "cpu", "-n", "6"])).Succeeded();
        string[] answers = run.Out.TrimEnd('\n').Split('\n');
        Assert.Equal(3, answers.Length);
        Assert.Equal(answers[0], answers[1]);
        Assert.Contains("begins anew", run.Error);
        Assert.Contains("/fly", run.Error);
    }

    [Fact]
    public async Task A_signal_stops_one_answer_of_a_chat_and_no_more()
    {
        using var interrupt = new Interrupt();
        bool isStopped = false;
        await interrupt.RunScopeAsync(scope =>
        {
            Assert.True(interrupt.Signal());
            isStopped = scope.IsCancellationRequested;
            return Task.CompletedTask;
        });
        Assert.True(isStopped);
        Assert.False(interrupt.Token.IsCancellationRequested);
        Assert.False(interrupt.WaitForInput(interrupt.Signal));
    }
}
