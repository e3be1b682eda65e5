using System.Diagnostics;
using Xunit;

namespace LazyLlm.Native.Tests;

/// <summary>Runs one explicit test of this program in a process of its own.</summary>
internal static class ChildProcess
{
    /// <summary>Starts it.</summary>
    /// <param name="test">The test's class.</param>
    /// <param name="method">The test's method.</param>
    /// <param name="environment">Variables to set; null removes one.</param>
    public static Process Start(Type test, string method, params (string Name, string? Value)[] environment)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "LazyLlm.Native.Tests" + (OperatingSystem.IsWindows() ? ".exe" : string.Empty));
        var start = new ProcessStartInfo(program, ["-explicit", "only", "-method", $"{test.FullName}.{method}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string? value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    /// <summary>Waits until it has passed.</summary>
    public static void WaitForSuccess(Process process)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        bool ended = process.WaitForExit(TimeSpan.FromSeconds(60));
        if (!ended)
        {
            process.Kill();
        }

        Assert.True(ended, "The other process does not end.");
        Assert.True(process.ExitCode == 0, output.Result + errors.Result);
    }
}
