using Xunit;

namespace LazyLlm.Testing;

/// <summary>Finds the repository's files from the test binary, and the data beside the repository, which may be absent.</summary>
internal static class RepositoryFiles
{
    /// <summary>The checkout.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The model that the repository ships.</summary>
    public static string Demo => Path.Combine(Root, "models", "demo");

    /// <summary>A file or folder of the committed golden data.</summary>
    public static string Golden(params string[] parts) => Path.Combine([Root, "tests", "golden", .. parts]);

    /// <summary>A file or folder of the data beside the repository; skips the test aloud where it is absent.</summary>
    public static string Shared(params string[] parts)
    {
        string path = Path.Combine([Root, "..", "shared", .. parts]);
        if (!Path.Exists(path))
        {
            // A work tree may lie one folder deeper than the checkout.
            path = Path.Combine([Root, "..", "..", "shared", .. parts]);
        }

        Assert.SkipUnless(Path.Exists(path), $"../shared/{string.Join('/', parts)} is not there: this data is not ours to commit.");
        return path;
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "LazyLlm.Native.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No LazyLlm.Native.sln above {AppContext.BaseDirectory}.");
    }
}
