using System.Security.Cryptography;
using System.Text;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>The kernels' sources: those of the library (the folder <c>kernels/</c>, embedded), or others.</summary>
public sealed class KernelSources
{
    private const string ResourcePrefix = "kernels/";

    private readonly Dictionary<string, KernelSourceFile> _files;

    /// <summary>Makes a set of sources.</summary>
    /// <param name="files">Programs (<c>.cu</c>) and headers (<c>.cuh</c>), each name once.</param>
    public KernelSources(IEnumerable<KernelSourceFile> files)
    {
        ArgumentNullException.ThrowIfNull(files);
        _files = files.ToDictionary(file => file.Name, StringComparer.Ordinal);
        KernelSourceFile[] ordered = [.. _files.Values.OrderBy(file => file.Name, StringComparer.Ordinal)];
        Programs = [.. ordered.Where(file => file.Name.EndsWith(".cu", StringComparison.Ordinal))];
        Headers = [.. ordered.Except(Programs)];
        var text = new StringBuilder();
        foreach (KernelSourceFile file in ordered)
        {
            text.Append(file.Name).Append('\0').Append(file.Text).Append('\0');
        }

        Digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    /// <summary>The library's own kernels.</summary>
    public static KernelSources Embedded { get; } = ReadEmbedded();

    /// <summary>What is compiled, by name.</summary>
    public IReadOnlyList<KernelSourceFile> Programs { get; }

    /// <summary>What every program may include, by name.</summary>
    public IReadOnlyList<KernelSourceFile> Headers { get; }

    /// <summary>SHA-256 of all names and texts, in hexadecimal.</summary>
    public string Digest { get; }

    /// <summary>All files, by name.</summary>
    public IEnumerable<KernelSourceFile> All => Programs.Concat(Headers);

    /// <summary>Finds a file.</summary>
    /// <param name="name">Its name, e.g. <c>gemm.cu</c>.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public KernelSourceFile this[string name] => _files.TryGetValue(name, out KernelSourceFile? file)
        ? file
        : throw new ArgumentException($"There is no kernel source {name}; there are {string.Join(", ", Programs.Select(program => program.Name))}.", nameof(name));

    private static KernelSources ReadEmbedded()
    {
        var assembly = typeof(KernelSources).Assembly;
        var files = new List<KernelSourceFile>();
        foreach (string resource in assembly.GetManifestResourceNames().Where(name => name.StartsWith(ResourcePrefix, StringComparison.Ordinal)))
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            files.Add(new KernelSourceFile(resource[ResourcePrefix.Length..], reader.ReadToEnd()));
        }

        return new KernelSources(files);
    }
}
