using LazyLlm.Evaluation.Recall;

namespace LazyLlm.Cli.Demo;

/// <summary>Finds the small model that comes with the tool: beside it, or in the repository around it.</summary>
internal static class DemoModel
{
    /// <summary>Its folder.</summary>
    /// <exception cref="UsageException">It is nowhere.</exception>
    public static string Find()
    {
        foreach (string start in (ReadOnlySpan<string>)[AppContext.BaseDirectory, Environment.CurrentDirectory])
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                string candidate = Path.Combine(folder.FullName, "models", "demo");
                if (File.Exists(Path.Combine(candidate, RecallTask.FileName)))
                {
                    return candidate;
                }
            }
        }

        throw new UsageException($"--model: the demo model (models/demo) is neither beside the tool in {AppContext.BaseDirectory} nor above {Environment.CurrentDirectory}; name its folder.");
    }
}
