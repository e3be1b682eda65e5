using System.Diagnostics;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests;

/// <summary>The tool as a process of its own: streams, exit codes and signals.</summary>
public class ProcessTests
{
    [Fact]
    public async Task A_process_keeps_data_and_errors_apart()
    {
        (int exitCode, string output, string error) = await FinishAsync(Start("tokenize", "--model", RepositoryFiles.Demo, "--ids", "Mira keeps the lamp."));
        Assert.Equal(0, exitCode);
        Assert.Matches("^1(,[0-9]+)+\n$", output.ReplaceLineEndings("\n"));
        Assert.Equal("", error);

        (exitCode, output, error) = await FinishAsync(Start("inspect", "--model", "no such folder"));
        Assert.Equal(ExitCode.Failure, exitCode);
        Assert.Equal("", output);
        Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task A_signal_in_the_middle_of_an_answer_ends_it_with_130()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no kill command.");
        using Process process = Start("generate", "-m", RepositoryFiles.Demo, "--device", "cpu", "--ignore-end", "-n", "2000", "Mira keeps the lamp");
        char[] first = new char[1];
        Assert.Equal(1, await process.StandardOutput.ReadAsync(first, TestContext.Current.CancellationToken));
        using (var kill = Process.Start("kill", ["-TERM", $"{process.Id}"]))
        {
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        (int exitCode, _, string error) = await FinishAsync(process);
        Assert.Equal(ExitCode.Cancelled, exitCode);
        Assert.Equal("lazyllm: cancelled.", error.Trim());
    }

    private static Process Start(params string[] args)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "lazyllm.dll"), .. args])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        return Process.Start(start)!;
    }

    private static async Task<(int ExitCode, string Out, string Error)> FinishAsync(Process process)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }
}
