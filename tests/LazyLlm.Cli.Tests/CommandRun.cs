using System.Text.Json;
using Xunit;

namespace LazyLlm.Cli.Tests;

/// <summary>A command line run in this process, and what it left on its streams.</summary>
internal sealed record CommandRun(int ExitCode, string Out, string Error)
{
    /// <summary>Standard output as a JSON document.</summary>
    public JsonElement Json => JsonDocument.Parse(Out).RootElement;

    /// <summary>The lines of standard error.</summary>
    public string[] ErrorLines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    public static async Task<CommandRun> RunAsync(params string[] args) => await RunAsync("", args);

    public static async Task<CommandRun> RunAsync(string input, string[] args)
    {
        using var interrupt = new Interrupt();
        return await RunAsync(input, interrupt, args);
    }

    public static async Task<CommandRun> RunAsync(string input, Interrupt interrupt, string[] args)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        var terminal = new Terminal(new StringReader(input), output, error) { Interrupt = interrupt };
        int exitCode = await LazyLlmTool.RunAsync(args, terminal);
        return new CommandRun(exitCode, output.ToString(), error.ToString());
    }

    /// <summary>Checks that the command ran.</summary>
    public CommandRun Succeeded()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Error}");
        return this;
    }

    /// <summary>Checks that the command refused with one line that holds the texts, and wrote no data.</summary>
    public void Refused(int exitCode, params string[] texts)
    {
        Assert.True(exitCode == ExitCode, $"exit code {ExitCode}, expected {exitCode}: {Error}");
        string line = Assert.Single(ErrorLines);
        Assert.StartsWith("lazyllm: ", line);
        Assert.All(texts, text => Assert.Contains(text, line));
        Assert.Equal("", Out);
    }
}
