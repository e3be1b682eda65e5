using System.Security.Cryptography;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>A safetensors file, open for positioned reads of its tensors. Safe for use by several threads.</summary>
internal sealed class SafetensorsFile : IDisposable
{
    private readonly RegularFile _file;

    private SafetensorsFile(RegularFile file, SafetensorsTensor[] tensors, byte[] headerDigest)
    {
        _file = file;
        Tensors = tensors;
        HeaderDigest = headerDigest;
    }

    /// <summary>The path it was opened by.</summary>
    public string Path => _file.Path;

    /// <summary>Bytes of the whole file.</summary>
    public long Length => _file.Length;

    /// <summary>The tensors, in the order of their data.</summary>
    public IReadOnlyList<SafetensorsTensor> Tensors { get; }

    /// <summary>SHA-256 of the header.</summary>
    public byte[] HeaderDigest { get; }

    /// <summary>Opens a file and reads its header; no tensor is read.</summary>
    /// <exception cref="ModelFormatException">The file cannot be read, or breaks a rule of <see cref="SafetensorsHeader"/>.</exception>
    public static SafetensorsFile Open(string path)
    {
        RegularFile? file = RegularFile.Open(path);
        try
        {
            Span<byte> prefix = stackalloc byte[(int)Math.Min(SafetensorsHeader.PrefixLength, file.Length)];
            file.Read(0, prefix);
            byte[] header = new byte[SafetensorsHeader.ReadLength(path, prefix, file.Length)];
            file.Read(SafetensorsHeader.PrefixLength, header);
            SafetensorsTensor[] tensors = SafetensorsHeader.Parse(path, header, file.Length);
            var opened = new SafetensorsFile(file, tensors, SHA256.HashData(header));
            file = null;
            return opened;
        }
        finally
        {
            file?.Dispose();
        }
    }

    /// <summary>Fills <paramref name="destination"/> from <paramref name="tensor"/>, from its byte <paramref name="byteOffset"/> on.</summary>
    /// <exception cref="ModelFormatException">The file has become shorter, or cannot be read.</exception>
    public void Read(SafetensorsTensor tensor, long byteOffset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(byteOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(byteOffset, tensor.Length - destination.Length);
        _file.Read(tensor.Offset + byteOffset, destination);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();
}
