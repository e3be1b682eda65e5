using System.Text.RegularExpressions;
using LazyLlm.Native.Interop.Unix;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>
/// Compiled kernels on disk, in a folder of the user's own (mode 0700). Entries are written under a temporary name and
/// renamed, so that a reader sees a whole entry or none, however many processes write and whenever one is killed;
/// a digest is checked on reading. Where the folder cannot be used, everything still works, without it:
/// <see cref="Problem"/> says why, once. Files that are not the cache's own, by their names, are left alone.
/// </summary>
public sealed partial class KernelCache
{
    /// <summary>Names the cache's folder.</summary>
    public const string FolderVariable = "LAZYLLM_CACHE_DIR";

    private const string EntrySuffix = ".kernel";
    private const string TemporarySuffix = ".tmp";
    private const string SourcesFolder = "sources";
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    // No writer takes this long, so an older temporary file belongs to one that was killed.
    private static readonly TimeSpan LeftoverAge = TimeSpan.FromHours(1);

    private readonly Action<string>? _warn;
    private string? _problem;

    private KernelCache(string? folder, Action<string>? warn)
    {
        Folder = folder;
        _warn = warn;
    }

    /// <summary>Where the entries are; null if the cache is not used.</summary>
    public string? Folder { get; private set; }

    /// <summary>Why nothing is kept on disk; null while all is well.</summary>
    public string? Problem => Volatile.Read(ref _problem);

    /// <summary>Opens the cache, makes its folder and removes what killed writers left.</summary>
    /// <param name="folder">The folder; null for <see cref="DefaultFolder"/>.</param>
    /// <param name="warn">Is told <see cref="Problem"/>, at most once.</param>
    public static KernelCache Open(string? folder = null, Action<string>? warn = null)
    {
        folder ??= DefaultFolder();
        var cache = new KernelCache(folder is null ? null : Path.GetFullPath(folder), warn);
        if (folder is null)
        {
            cache.Report($"There is no home folder; set {FolderVariable} to a folder of your own.");
            return cache;
        }

        try
        {
            Prepare(cache.Folder!);
            cache.RemoveLeftovers();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            cache.Report($"{cache.Folder} is of no use: {e.Message.TrimEnd('.')}. Name another folder in {FolderVariable}.");
            cache.Folder = null;
        }

        return cache;
    }

    /// <summary>The cache as it stands, to look at or to clear: nothing is made, and no mode is changed.</summary>
    /// <param name="folder">The folder; null for <see cref="DefaultFolder"/>.</param>
    public static KernelCache At(string? folder = null)
    {
        folder ??= DefaultFolder();
        return new KernelCache(folder is null ? null : Path.GetFullPath(folder), null);
    }

    /// <summary>The folder where nobody names another: <c>LAZYLLM_CACHE_DIR</c>, else the user's cache folder. Null if there is none.</summary>
    public static string? DefaultFolder()
    {
        if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } chosen)
        {
            return Path.GetFullPath(chosen);
        }

        if (OperatingSystem.IsWindows())
        {
            string local = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
            return local.Length == 0 ? null : Path.Combine(local, "LazyLlm", "kernels");
        }

        if (Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } caches && Path.IsPathRooted(caches))
        {
            return Path.Combine(caches, "lazyllm", "kernels");
        }

        return Environment.GetEnvironmentVariable("HOME") is { Length: > 0 } home && Path.IsPathRooted(home)
            ? Path.Combine(home, ".cache", "lazyllm", "kernels")
            : null;
    }

    /// <summary>The entries, damaged ones too, by name.</summary>
    public IReadOnlyList<KernelCacheEntry> List() =>
        [.. Entries().Select(Describe).OfType<KernelCacheEntry>().OrderBy(entry => entry.Name, StringComparer.Ordinal)];

    /// <summary>Deletes every entry, leftover and stored source.</summary>
    /// <returns>How many files went, and their bytes.</returns>
    /// <exception cref="IOException">Some could not be deleted; the rest is.</exception>
    public (int Count, long Bytes) Clear()
    {
        int count = 0;
        long bytes = 0;
        var left = new List<string>();
        foreach (string path in Entries().Concat(Leftovers()).Concat(SourceFolders()).ToList())
        {
            FileInfo[] files = Directory.Exists(path) ? new DirectoryInfo(path).GetFiles() : [new FileInfo(path)];
            long size = files.Sum(file => file.Exists ? file.Length : 0);
            if (TryDelete(path))
            {
                count += files.Length;
                bytes += size;
            }
            else
            {
                left.Add(path);
            }
        }

        if (left.Count > 0)
        {
            throw new IOException($"{left.Count} of {left.Count + count} files could not be deleted, the first {left[0]}. The folder must be writable.");
        }

        if (Folder is not null && Path.Combine(Folder, SourcesFolder) is string sources && Directory.Exists(sources) && !Directory.EnumerateFileSystemEntries(sources).Any())
        {
            TryDelete(sources);
        }

        return (count, bytes);
    }

    /// <summary>Finds an entry; a bad one is deleted and counts as absent.</summary>
    /// <param name="key">32 bytes.</param>
    internal CompiledKernel? Find(ReadOnlySpan<byte> key)
    {
        if (Folder is null)
        {
            return null;
        }

        string path = PathOf(key);
        try
        {
            if (!File.Exists(path))
            {
                return null;
            }

            // While others could write here, they could have put an entry of theirs under this name.
            bool isOwn = !OperatingSystem.IsLinux() || FileOwner.IsCurrentUser(path);
            if (isOwn && KernelCacheFile.Read(path) is { } file && KernelCacheFile.Decode(file, key) is { } kernel)
            {
                return kernel;
            }

            File.Delete(path);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Absent by now, or not readable: the kernel is compiled.
            return null;
        }
    }

    /// <summary>Keeps an entry, if the disk lets it.</summary>
    /// <param name="key">32 bytes.</param>
    /// <param name="kernel">The compiled program.</param>
    internal void Store(ReadOnlySpan<byte> key, CompiledKernel kernel)
    {
        if (Folder is null)
        {
            return;
        }

        string path = PathOf(key);
        string temporary = $"{path}.{Guid.NewGuid():N}{TemporarySuffix}";
        try
        {
            WriteThrough(temporary, KernelCacheFile.Encode(key, kernel));
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
            Report($"{kernel.Name} could not be kept: {e.Message}");
        }
    }

    /// <summary>Deletes an entry that turned out to be of no use.</summary>
    /// <param name="key">32 bytes.</param>
    internal void Remove(ReadOnlySpan<byte> key)
    {
        if (Folder is not null)
        {
            TryDelete(PathOf(key));
        }
    }

    /// <summary>
    /// Writes the sources as files, so that a profiler can show them; compilation never reads them back.
    /// </summary>
    /// <param name="sources">The sources.</param>
    /// <returns>Their folder; null if the cache is not used.</returns>
    internal string? StoreSources(KernelSources sources)
    {
        if (Folder is null)
        {
            return null;
        }

        string folder = Path.Combine(Folder, SourcesFolder, sources.Digest[..16]);
        if (Directory.Exists(folder))
        {
            return folder;
        }

        string temporary = Path.Combine(Folder, $"{Guid.NewGuid():N}{TemporarySuffix}");
        try
        {
            CreatePrivate(Path.Combine(Folder, SourcesFolder));
            CreatePrivate(temporary);
            foreach (KernelSourceFile file in sources.All)
            {
                File.WriteAllText(Path.Combine(temporary, file.Name), file.Text);
            }

            Directory.Move(temporary, folder);
            return folder;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
            if (Directory.Exists(folder))
            {
                // Another process was faster.
                return folder;
            }

            Report($"The sources could not be kept: {e.Message}");
            return null;
        }
    }

    private static void Prepare(string folder)
    {
        CreatePrivate(folder);
        if (OperatingSystem.IsLinux() && !FileOwner.IsCurrentUser(folder))
        {
            // Whoever owns the folder could put other machine code into it.
            throw new UnauthorizedAccessException("it belongs to another user");
        }

        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(folder) & ~Private) is not 0 and UnixFileMode open)
        {
            // A folder that others use too stays theirs.
            if ((open & UnixFileMode.StickyBit) != 0 || Directory.EnumerateFileSystemEntries(folder).Any(path => !IsOwn(Path.GetFileName(path))))
            {
                throw new UnauthorizedAccessException("it is open to other users, and holds other things than kernels");
            }

            File.SetUnixFileMode(folder, Private);
        }

        // Found out now rather than after the first kernel.
        string probe = Path.Combine(folder, $"{Guid.NewGuid():N}{TemporarySuffix}");
        File.WriteAllBytes(probe, []);
        File.Delete(probe);
    }

    private static void CreatePrivate(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, Private);
        }
    }

    private static void WriteThrough(string path, byte[] content)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using var stream = new FileStream(path, options);
        stream.Write(content);
        stream.Flush(flushToDisk: true);
    }

    private static bool TryDelete(string path)
    {
        try
        {
            if (Directory.Exists(path))
            {
                Directory.Delete(path, recursive: true);
            }
            else
            {
                File.Delete(path);
            }

            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static KernelCacheEntry? Describe(string path)
    {
        try
        {
            var file = new FileInfo(path);
            byte[] key = Convert.FromHexString(Path.GetFileNameWithoutExtension(path));
            CompiledKernel? kernel = KernelCacheFile.Read(path) is { } content ? KernelCacheFile.Decode(content, key) : null;
            return new KernelCacheEntry(path, kernel?.Name, kernel?.Target, file.Length, file.LastWriteTimeUtc);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another process deleted it meanwhile.
            return null;
        }
    }

    private static bool IsOwn(string name) => EntryName().IsMatch(name) || LeftoverName().IsMatch(name) || name == SourcesFolder;

    [GeneratedRegex("^[0-9a-f]{64}\\.kernel\\z")]
    private static partial Regex EntryName();

    [GeneratedRegex("^([0-9a-f]{64}\\.kernel\\.)?[0-9a-f]{32}\\.tmp\\z")]
    private static partial Regex LeftoverName();

    [GeneratedRegex("^[0-9a-f]{16}\\z")]
    private static partial Regex SourceFolderName();

    private static IEnumerable<string> Named(string? folder, Regex name) =>
        Directory.Exists(folder) ? Directory.EnumerateFileSystemEntries(folder).Where(path => name.IsMatch(Path.GetFileName(path))) : [];

    private IEnumerable<string> Entries() => Named(Folder, EntryName());

    private IEnumerable<string> Leftovers() => Named(Folder, LeftoverName());

    private IEnumerable<string> SourceFolders() => Named(Folder is null ? null : Path.Combine(Folder, SourcesFolder), SourceFolderName());

    private void RemoveLeftovers()
    {
        foreach (string path in Leftovers().Where(path => DateTime.UtcNow - File.GetLastWriteTimeUtc(path) > LeftoverAge))
        {
            TryDelete(path);
        }
    }

    private string PathOf(ReadOnlySpan<byte> key) => Path.Combine(Folder!, Convert.ToHexStringLower(key) + EntrySuffix);

    private void Report(string reason)
    {
        string problem = $"Kernels are compiled anew in every process, because the kernel cache cannot be used. {reason}";
        if (Interlocked.CompareExchange(ref _problem, problem, null) is null)
        {
            _warn?.Invoke(problem);
        }
    }
}
