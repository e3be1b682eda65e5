using System.Text.Json;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class GenerateCommandTests
{
    private const string Prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";

    private static readonly string[] Demo = ["generate", "--model", RepositoryFiles.Demo, "--device", "cpu", "--stop", "."];

    [Fact]
    public async Task The_answer_is_standard_output_alone()
    {
        CommandRun run = (await CommandRun.RunAsync([.. Demo, Prompt])).Succeeded();
        Assert.Equal(" attic\n", run.Out);
        Assert.Contains("first token after", Assert.Single(run.ErrorLines));
    }

    [Fact]
    public async Task A_prompt_may_come_from_standard_input_or_a_file()
    {
        using var scratch = new ScratchFolder();
        File.WriteAllText(scratch["prompt.txt"], Prompt + "\n");
        Assert.Equal(" attic\n", (await CommandRun.RunAsync(Prompt + "\n", [.. Demo, "-", "-q"])).Succeeded().Out);
        Assert.Equal(" attic\n", (await CommandRun.RunAsync([.. Demo, "--prompt-file", scratch["prompt.txt"], "-q"])).Succeeded().Out);
    }

    [Fact]
    public async Task Json_has_text_tokens_and_figures()
    {
        JsonElement json = (await CommandRun.RunAsync([.. Demo, Prompt, "--json", "-q", "--prune", "4:0.5"])).Succeeded().Json;
        Assert.Equal(" attic", json.GetProperty("text").GetString());
        Assert.Equal("stop", json.GetProperty("finish").GetString());
        Assert.All(json.GetProperty("tokens").EnumerateArray(), token => Assert.True(token.GetProperty("log_probability").GetDouble() <= 0));
        Assert.InRange(json.GetProperty("statistics").GetProperty("computed_share").GetDouble(), 0.3, 0.99);
    }

    [Fact]
    public async Task Advice_of_the_makers_holds_where_the_command_line_is_silent()
    {
        string[] arguments = ["generate", "--model", RepositoryFiles.Demo, "--device", "cpu", "--ignore-end", "--json", "-q", Prompt];
        Assert.Equal(4, (await CommandRun.RunAsync([.. arguments, "--advised"])).Succeeded().Json.GetProperty("tokens").GetArrayLength());
        Assert.Equal(6, (await CommandRun.RunAsync([.. arguments, "--advised", "-n", "6"])).Succeeded().Json.GetProperty("tokens").GetArrayLength());
    }

    [Fact]
    public async Task A_model_without_a_tokenizer_takes_and_gives_ids()
    {
        CommandRun run = (await CommandRun.RunAsync("generate", "-m", RepositoryFiles.Golden("models", "tiny-mha"), "--device", "cpu", "--prompt-ids", "1,17,9", "-n", "3", "-q", "--ignore-end")).Succeeded();
        Assert.Equal(3, run.Out.Trim().Split(',').Select(int.Parse).Count());
    }

    [Theory]
    [InlineData("--temperature", "-1", "Temperature")]
    [InlineData("--temperature", "NaN", "Temperature")]
    [InlineData("--temperature", "Infinity", "Temperature")]
    [InlineData("--top-p", "1.5", "TopP")]
    [InlineData("--top-p", "NaN", "TopP")]
    [InlineData("--top-k", "-1", "TopK")]
    [InlineData("--min-p", "2", "MinP")]
    [InlineData("--max-tokens", "0", "MaxTokens")]
    [InlineData("--max-tokens", "-5", "MaxTokens")]
    [InlineData("--max-tokens", "2147483648", "2147483648")]
    [InlineData("--seed", "-1", "-1")]
    [InlineData("--seed", "18446744073709551616", "18446744073709551616")]
    [InlineData("--stop", "", "StopStrings")]
    [InlineData("--repetition-penalty", "0", "RepetitionPenalty")]
    [InlineData("--no-such-option", "1", "no-such-option")]
    public async Task An_option_out_of_range_is_a_usage_error(string option, string value, string named) =>
        (await CommandRun.RunAsync([.. Demo, Prompt, option, value])).Refused(ExitCode.Usage, named);

    [Fact]
    public async Task A_prompt_longer_than_the_context_is_refused_with_both_counts() =>
        (await CommandRun.RunAsync([.. Demo, string.Join(' ', Enumerable.Repeat("lamp", 3_000)), "-q"])).Refused(ExitCode.Failure, "3001", "2048");

    [Fact]
    public async Task Control_token_names_in_a_prompt_stay_text()
    {
        CommandRun run = (await CommandRun.RunAsync("tokenize", "-m", RepositoryFiles.Demo, "</s>[INST]", "--ids")).Succeeded();
        int[] ids = [.. run.Out.Trim().Split(',').Select(int.Parse)];
        Assert.DoesNotContain(2, ids);
        Assert.Equal("</s>[INST]\n", (await CommandRun.RunAsync("tokenize", "-m", RepositoryFiles.Demo, "--prompt-ids", string.Join(',', ids))).Succeeded().Out);
    }

    [Fact]
    public async Task A_missing_model_is_a_failure_of_one_line()
    {
        using var scratch = new ScratchFolder();
        (await CommandRun.RunAsync("generate", "-m", scratch["none"], "words")).Refused(ExitCode.Failure, "none");
        (await CommandRun.RunAsync("inspect", "-m", scratch.Path)).Refused(ExitCode.Failure, "config.json");
    }

    [Fact]
    public async Task What_was_interrupted_says_so_and_exits_with_130()
    {
        using var interrupt = new Interrupt();
        Assert.True(interrupt.Signal());
        Assert.False(interrupt.Signal());
        CommandRun run = await CommandRun.RunAsync("", interrupt, [.. Demo, Prompt, "-q"]);
        run.Refused(ExitCode.Cancelled, "cancelled");
    }
}
