using System.Text.Json;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class DemoCommandTests
{
    [Fact]
    public async Task Without_options_both_questions_are_answered_right_on_both_sides()
    {
        CommandRun run = (await CommandRun.RunAsync("demo", "--device", "cpu", "--runs", "1", "--json")).Succeeded();
        foreach (string side in (string[])["dense", "lazyllm"])
        {
            JsonElement[] turns = [.. run.Json.GetProperty(side).GetProperty("turns").EnumerateArray()];
            Assert.Equal(2, turns.Length);
            Assert.All(turns, turn => Assert.True(turn.GetProperty("right").GetBoolean()));
        }

        JsonElement prefill = run.Json.GetProperty("lazyllm").GetProperty("turns")[0].GetProperty("prefill");
        int tokens = prefill.GetProperty("prompt_tokens").GetInt32();
        Assert.InRange(tokens, 950, 1000);
        Assert.Equal((4L * tokens) + (8 * ((tokens + 9) / 10)), prefill.GetProperty("computed_pairs").GetInt64());
        Assert.Equal(12L * tokens, prefill.GetProperty("dense_pairs").GetInt64());
        JsonElement stage = run.Json.GetProperty("lazyllm").GetProperty("turns")[1].GetProperty("prefill").GetProperty("stages")[1];
        Assert.True(stage.GetProperty("revived").GetInt32() > 0);
    }

    [Fact]
    public async Task The_table_is_on_standard_output_and_the_drawing_on_standard_error_both_within_80_columns()
    {
        CommandRun run = (await CommandRun.RunAsync("demo", "--device", "cpu", "--runs", "1", "--length", "300")).Succeeded();
        Assert.Contains("time to first token", run.Out);
        Assert.Contains("revived", run.Out);
        Assert.Contains("4:0.1", run.Out);
        Assert.Contains("revived by the follow-up", run.Error);
        Assert.DoesNotContain(run.Out.Split('\n').Concat(run.ErrorLines), line => line.Length > 80 && !line.StartsWith("Model", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_seed_makes_the_document()
    {
        string Text(CommandRun run) => run.Succeeded().Json.GetProperty("document").GetString()!;
        string[] args = ["demo", "--device", "cpu", "--runs", "1", "--length", "200", "--json", "--quiet", "--seed"];
        string first = Text(await CommandRun.RunAsync([.. args, "7"]));
        Assert.Equal(first, Text(await CommandRun.RunAsync([.. args, "7"])));
        Assert.NotEqual(first, Text(await CommandRun.RunAsync([.. args, "8"])));
    }

    [Fact]
    public async Task A_document_of_the_users_own_is_asked_about()
    {
        const string Document = "The old fox sleeps near the mill. Mira keeps the lamp in the attic.\nPeople say that the crow sings all night.\n";
        CommandRun run = (await CommandRun.RunAsync(Document, ["demo", "--device", "cpu", "--runs", "1", "--json", "--document", "-"])).Succeeded();
        JsonElement question = Assert.Single(run.Json.GetProperty("questions").EnumerateArray());
        Assert.Equal("attic", question.GetProperty("answer").GetString());
        Assert.Equal("attic", run.Json.GetProperty("dense").GetProperty("turns")[0].GetProperty("answer").GetString());
    }

    [Theory]
    [InlineData(ExitCode.Usage, "--length", "10")]
    [InlineData(ExitCode.Usage, "--length", "-1")]
    [InlineData(ExitCode.Failure, "--length", "3000")]
    [InlineData(ExitCode.Usage, "--runs", "0")]
    [InlineData(ExitCode.Usage, "--seed", "-1")]
    [InlineData(ExitCode.Usage, "--prune", "12:0.5")]
    [InlineData(ExitCode.Failure, "--document", "no-such-file.txt")]
    public async Task What_cannot_be_is_refused_in_one_line(int exitCode, string option, string value) =>
        (await CommandRun.RunAsync("demo", "--device", "cpu", "--runs", "1", option, value)).Refused(exitCode);

    [Fact]
    public async Task A_document_without_facts_is_refused() =>
        (await CommandRun.RunAsync("Nothing here.", ["demo", "--device", "cpu", "--document", "-"])).Refused(ExitCode.Usage, "document");

    [Fact]
    public async Task A_model_without_a_recall_task_is_refused() =>
        (await CommandRun.RunAsync("demo", "--device", "cpu", "--model", RepositoryFiles.Golden("models", "tiny-mha"))).Refused(ExitCode.Usage, "tokenizer");
}
