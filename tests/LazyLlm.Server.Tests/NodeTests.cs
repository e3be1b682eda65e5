using System.ComponentModel;
using System.Diagnostics;

namespace LazyLlm.Server.Tests;

/// <summary>Tests in JavaScript, in a folder of their own with a <c>package.json</c>, against servers that the caller has started.</summary>
internal sealed class NodeTests
{
    private readonly string _folder;
    private readonly string _name;

    private NodeTests(string name)
    {
        _name = name;
        _folder = Path.Combine(RepositoryFiles.Root, "tests", "LazyLlm.Server.Tests", name);
    }

    /// <summary>The tests of a folder; skips the calling test aloud where Node.js or a package is missing.</summary>
    public static NodeTests Require(string name)
    {
        var tests = new NodeTests(name);
        Assert.SkipUnless(Directory.Exists(Path.Combine(tests._folder, "node_modules")), $"the test's packages are not there: run 'npm ci' in {tests._folder}.");
        Assert.SkipUnless(HasNode(), "node is not there: install Node.js 20 or later.");
        return tests;
    }

    /// <summary>Runs them all.</summary>
    /// <param name="count">How many there are and must pass.</param>
    /// <param name="variables">What they get from the environment.</param>
    public async Task RunAsync(int count, params (string Name, string Value)[] variables)
    {
        var start = new ProcessStartInfo("node", ["--test", "--test-reporter=spec", $"{_name}.test.js"])
        {
            WorkingDirectory = _folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        using Process node = Process.Start(start)!;
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(4));
        Task<string> output = node.StandardOutput.ReadToEndAsync(patience.Token);
        Task<string> errors = node.StandardError.ReadToEndAsync(patience.Token);
        try
        {
            await node.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            node.Kill(entireProcessTree: true);
            throw;
        }

        Assert.True(node.ExitCode == 0, $"{await output}\n{await errors}");
        Assert.Contains($"pass {count}", await output, StringComparison.Ordinal);
    }

    private static bool HasNode()
    {
        try
        {
            using Process version = Process.Start(new ProcessStartInfo("node", "--version") { RedirectStandardOutput = true })!;
            return true;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}
