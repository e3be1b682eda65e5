using System.Diagnostics;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Bench.Tests;

/// <summary>The benchmark program as a process of its own, on the stand-in driver.</summary>
internal sealed record BenchProcess(int ExitCode, string Out, string Error)
{
    private static readonly string StandIn = Path.Combine(RepositoryFiles.Root, "artifacts", "cuda-standin");

    /// <summary>The program.</summary>
    public static string Program { get; } = Path.Combine(AppContext.BaseDirectory, "LazyLlm.Bench.dll");

    /// <summary>Runs the program with a verb and its options.</summary>
    public static Task<BenchProcess> RunAsync(params string[] arguments) => RunAsync("dotnet", [], [Program, .. arguments]);

    /// <summary>Runs a command with variables of its own.</summary>
    public static async Task<BenchProcess> RunAsync(string command, (string Name, string Value)[] variables, params string[] arguments)
    {
        var start = new ProcessStartInfo(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["LAZYLLM_CUDA_DRIVER"] = Path.Combine(StandIn, "libcuda-standin.so");
        start.Environment["LAZYLLM_NVRTC"] = Path.Combine(StandIn, "libnvrtc-standin.so");
        start.Environment["LAZYLLM_CACHE_DIR"] = Path.Combine(RepositoryFiles.Root, "artifacts", "kernel-cache-standin");
        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return new BenchProcess(process.ExitCode, await output, await error);
    }

    /// <summary>Skips the test aloud where the stand-in is not built.</summary>
    public static void RequireStandIn() =>
        Assert.SkipUnless(File.Exists(Path.Combine(StandIn, "libcuda-standin.so")), "The stand-in for the CUDA driver is not built; './build.sh test' builds it where there is a C++ compiler.");

    /// <summary>Checks that the program ran.</summary>
    public BenchProcess Succeeded()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Out}{Error}");
        return this;
    }
}
