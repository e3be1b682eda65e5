using System.Diagnostics;

namespace LazyLlm.Testing;

/// <summary>The stand-in driver of tests/cuda-standin, built by its own script once per test run where it is not up to date.</summary>
internal static class StandinBuild
{
    private static readonly Lazy<string?> Outcome = new(Run);

    /// <summary>Where it is built: libcuda-standin.so, libnvrtc-standin.so and the headers of its compiler.</summary>
    public static string Folder => Path.Combine(RepositoryFiles.Root, "artifacts", "cuda-standin");

    /// <summary>Builds it.</summary>
    /// <returns>Why it is not there, or null.</returns>
    public static string? Ensure() => Outcome.Value;

    private static string? Run()
    {
        if (!OperatingSystem.IsLinux())
        {
            return "The stand-in for the CUDA driver runs on Linux.";
        }

        const string Advice = "The stand-in for the CUDA driver could not be built (it needs a C++ compiler, g++ or clang++): ";
        try
        {
            string script = Path.Combine(RepositoryFiles.Root, "tests", "cuda-standin", "build.sh");
            using Process build = Process.Start(new ProcessStartInfo("sh", [script, Folder]) { RedirectStandardError = true })!;
            string errors = build.StandardError.ReadToEnd();
            build.WaitForExit();
            return build.ExitCode == 0 ? null : Advice + errors;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return Advice + e.Message;
        }
    }
}
