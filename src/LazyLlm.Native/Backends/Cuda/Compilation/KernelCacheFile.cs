using System.Security.Cryptography;
using System.Text;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>
/// The format of a cache entry: eight bytes of magic and version, the 32 bytes of the key, a SHA-256 over key and
/// content, the content (name, target, log, image, each with its length). So neither a damaged file nor another entry's
/// under this name passes.
/// </summary>
internal static class KernelCacheFile
{
    /// <summary>The format's version; part of every key, so that a change never meets old files.</summary>
    public const string Version = "LAZYKRN1";

    private const int KeyStart = 8;
    private const int DigestStart = KeyStart + SHA256.HashSizeInBytes;
    private const int ContentStart = DigestStart + SHA256.HashSizeInBytes;
    private const long MaxBytes = 256L << 20;

    /// <summary>Writes an entry.</summary>
    public static byte[] Encode(ReadOnlySpan<byte> key, CompiledKernel kernel)
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Encoding.ASCII.GetBytes(Version));
            writer.Write(key);
            writer.Write(new byte[SHA256.HashSizeInBytes]);
            writer.Write(kernel.Name);
            writer.Write(kernel.Target);
            writer.Write(kernel.Log);
            writer.Write(kernel.Image.Length);
            writer.Write(kernel.Image.Span);
        }

        byte[] file = stream.ToArray();
        Digest(file).CopyTo(file, DigestStart);
        return file;
    }

    /// <summary>Reads a file; null if it is too large to be an entry.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[]? Read(string path) => new FileInfo(path).Length <= MaxBytes ? File.ReadAllBytes(path) : null;

    /// <summary>Reads an entry; null unless it is whole and the key's.</summary>
    public static CompiledKernel? Decode(byte[] file, ReadOnlySpan<byte> key)
    {
        if (file.Length < ContentStart
            || !file.AsSpan(0, KeyStart).SequenceEqual(Encoding.ASCII.GetBytes(Version))
            || !file.AsSpan(KeyStart, SHA256.HashSizeInBytes).SequenceEqual(key)
            || !file.AsSpan(DigestStart, SHA256.HashSizeInBytes).SequenceEqual(Digest(file)))
        {
            return null;
        }

        // The digest vouches for the content from here on.
        using var reader = new BinaryReader(new MemoryStream(file, ContentStart, file.Length - ContentStart), Encoding.UTF8);
        string name = reader.ReadString();
        string target = reader.ReadString();
        string log = reader.ReadString();
        byte[] image = reader.ReadBytes(reader.ReadInt32());
        return new CompiledKernel(name, target, image, log) { FromCache = true };
    }

    private static byte[] Digest(byte[] file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(file.AsSpan(KeyStart, SHA256.HashSizeInBytes));
        hash.AppendData(file.AsSpan(ContentStart));
        return hash.GetHashAndReset();
    }
}
