using System.Security.Cryptography;
using System.Text;
using LazyLlm.Native.Backends.Cuda.Compilation;

namespace LazyLlm.Native.Tests.Backends.Cuda.Compilation;

/// <summary>A compiler whose machine code is a digest of everything that it was given.</summary>
internal sealed class FakeToolchain : IKernelToolchain
{
    private int _compilations;

    public string Signature { get; init; } = "Fake 1.0";

    public IReadOnlyList<string> FreshOptions => [];

    /// <summary>Bytes of the image: the digest, repeated.</summary>
    public int ImageBytes { get; init; } = 1000;

    public int Compilations => Volatile.Read(ref _compilations);

    /// <summary>Called in each compilation.</summary>
    public Action<string>? Compiling { get; init; }

    public List<string> Paths { get; } = [];

    public (byte[] Image, string Log) Compile(
        string kernel,
        string path,
        string source,
        IReadOnlyList<KernelSourceFile> headers,
        IReadOnlyList<string> options,
        bool ptx)
    {
        Interlocked.Increment(ref _compilations);
        Compiling?.Invoke(kernel);
        lock (Paths)
        {
            Paths.Add(path);
        }

        return (Expected(source, headers, options, ImageBytes), "log of " + kernel);
    }

    public static byte[] Expected(string source, IReadOnlyList<KernelSourceFile> headers, IReadOnlyList<string> options, int bytes)
    {
        byte[] digest = SHA256.HashData(Encoding.UTF8.GetBytes(source + string.Concat(headers) + string.Join("|", options)));
        byte[] image = new byte[bytes];
        for (int i = 0; i < bytes; i++)
        {
            image[i] = digest[i % digest.Length];
        }

        return image;
    }
}
