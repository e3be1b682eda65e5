using System.Buffers.Binary;
using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

/// <summary>Safetensors files in memory, made by hand.</summary>
internal static class SafetensorsBytes
{
    public const string FileName = "x.safetensors";

    /// <summary>A file with this header and so many zero bytes of data.</summary>
    public static byte[] FileWith(string header, int dataLength = 0) => FileWith(Encoding.UTF8.GetBytes(header), dataLength);

    public static byte[] FileWith(ReadOnlySpan<byte> header, int dataLength = 0)
    {
        byte[] file = new byte[8 + header.Length + dataLength];
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)header.Length);
        header.CopyTo(file.AsSpan(8));
        return file;
    }

    /// <summary>One entry of a header.</summary>
    public static string Tensor(string name, string dataType, string shape, ulong begin, ulong end) =>
        $"\"{name}\":{{\"dtype\":\"{dataType}\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}";

    /// <summary>Reads a file as <see cref="SafetensorsFile.Open"/> does.</summary>
    public static SafetensorsTensor[] Parse(ReadOnlySpan<byte> file)
    {
        int length = SafetensorsHeader.ReadLength(FileName, file[..Math.Min(file.Length, 8)], file.Length);
        return SafetensorsHeader.Parse(FileName, file.Slice(8, length), file.Length);
    }

    public static SafetensorsTensor[] Parse(string header, int dataLength = 0) => Parse(FileWith(header, dataLength));

    /// <summary>Asserts that a file is refused, with a message that names it and these words.</summary>
    public static void AssertRefused(ReadOnlySpan<byte> file, params string[] words)
    {
        ModelFormatException? error = null;
        try
        {
            Parse(file);
        }
        catch (ModelFormatException e)
        {
            error = e;
        }

        Assert.NotNull(error);
        Assert.Equal(FileName, error.Path);
        Assert.All(words, word => Assert.Contains(word, error.Message, StringComparison.Ordinal));
        Assert.DoesNotContain(error.Message, char.IsControl);
    }

    public static void AssertRefused(string header, int dataLength, params string[] words) => AssertRefused(FileWith(header, dataLength), words);
}
