using System.Diagnostics;
using System.Text.RegularExpressions;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests;

public partial class ReadmeTests
{
    private static string Readme => File.ReadAllText(Path.Combine(RepositoryFiles.Root, "README.md"));

    [Fact]
    public void The_sample_is_the_program_that_is_built() =>
        Assert.Equal(File.ReadAllText(Path.Combine(RepositoryFiles.Root, "samples", "quickstart", "Program.cs")).Trim(), Sample().Match(Readme).Groups[1].Value.Trim());

    [Fact]
    public void The_C_sample_is_the_program_in_the_archive() =>
        Assert.Equal(File.ReadAllText(Path.Combine(RepositoryFiles.Root, "samples", "c", "quickstart.c")).Trim(), CSample().Match(Readme).Groups[1].Value.Trim());

    [Fact]
    public void The_sample_answers_both_questions()
    {
        string configuration = Path.GetFileName(Path.GetDirectoryName(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar)))!;
        string program = Path.Combine(RepositoryFiles.Root, "samples", "quickstart", "bin", configuration, "net10.0", "quickstart.dll");
        Assert.SkipUnless(File.Exists(program), $"{program} is not built.");
        using Process run = Process.Start(new ProcessStartInfo("dotnet", [program]) { WorkingDirectory = RepositoryFiles.Root, RedirectStandardOutput = true })!;
        string output = run.StandardOutput.ReadToEnd();
        run.WaitForExit();
        Assert.Equal(0, run.ExitCode);
        Assert.Matches(@"^ attic \(\d+ ?% of the dense work\)\s+vault \([1-9]\d* positions revived\)\s*$", output);
    }

    [Fact]
    public void Every_link_to_a_file_leads_somewhere()
    {
        foreach (string page in Directory.GetFiles(Path.Combine(RepositoryFiles.Root, "docs"), "*.md").Append(Path.Combine(RepositoryFiles.Root, "README.md")))
        {
            foreach (Match link in Link().Matches(File.ReadAllText(page)))
            {
                string target = link.Groups[1].Value.Split('#')[0];
                string path = Path.Combine(Path.GetDirectoryName(page)!, target);
                Assert.True(target.Length == 0 || target.Contains("://", StringComparison.Ordinal) || Path.Exists(path), $"{page} links to {target}, which is not there.");
            }
        }
    }

    [GeneratedRegex(@"<!-- sample: [^>]*-->\s*```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Sample();

    [GeneratedRegex(@"<!-- sample: [^>]*-->\s*```c\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CSample();

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();
}
