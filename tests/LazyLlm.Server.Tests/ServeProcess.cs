using System.Diagnostics;
using System.Text.RegularExpressions;

namespace LazyLlm.Server.Tests;

/// <summary><c>lazyllm serve</c> with the repository's model, as a process of its own.</summary>
internal sealed partial class ServeProcess : IDisposable
{
    private readonly Process _process;
    private readonly Task<string> _output;
    private string _errors = "";

    private ServeProcess(Process process)
    {
        _process = process;
        _output = process.StandardOutput.ReadToEndAsync();
    }

    /// <summary>The tool in its own output folder, of the configuration that these tests were built in.</summary>
    public static string Tool { get; } = Path.Combine(
        [RepositoryFiles.Root, "src", "LazyLlm.Cli", "bin", .. AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar).Split(Path.DirectorySeparatorChar)[^2..], "lazyllm.dll"]);

    /// <summary>Where it listens.</summary>
    public HttpClient Client { get; } = new();

    /// <summary>Starts it on a free port and waits until it listens, or has ended.</summary>
    public static async Task<ServeProcess> StartAsync(string[] arguments, params (string Name, string Value)[] variables)
    {
        var start = new ProcessStartInfo("dotnet", [Tool, "serve", RepositoryFiles.Demo, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        var serve = new ServeProcess(Process.Start(start)!);
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        while (await serve._process.StandardError.ReadLineAsync(patience.Token) is string line)
        {
            serve._errors += $"{line}\n";
            if (Listening().Match(line) is { Success: true } match)
            {
                serve.Client.BaseAddress = new Uri(match.Groups[1].Value);
                break;
            }
        }

        return serve;
    }

    /// <summary>Asks it to stop.</summary>
    public async Task TerminateAsync()
    {
        using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
        await kill.WaitForExitAsync();
    }

    /// <summary>Waits for its end.</summary>
    public async Task<(int ExitCode, string Out, string Error)> EndAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        _errors += await _process.StandardError.ReadToEndAsync(patience.Token);
        await _process.WaitForExitAsync(patience.Token);
        return (_process.ExitCode, await _output, _errors);
    }

    public void Dispose()
    {
        Client.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    [GeneratedRegex("listening on (http://[^ ]+?)\\. ")]
    private static partial Regex Listening();
}
