using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace LazyLlm.Native.Models;

/// <summary>
/// Writes a safetensors file as the format's own writer does: tensors by falling size of their numbers and then by
/// name, the header padded to 8 bytes, the metadata that Transformers asks for. Data are streamed; the file appears
/// under its name only when complete, so a reader of an older one never sees it change.
/// </summary>
internal sealed class SafetensorsWriter
{
    private readonly List<Entry> _entries = [];

    /// <summary>Adds a tensor.</summary>
    /// <param name="name">Its name, used once.</param>
    /// <param name="type">Its number format.</param>
    /// <param name="shape">Its dimensions; none for a scalar.</param>
    /// <param name="writeData">Writes exactly its bytes to the stream it is given, when the file is saved.</param>
    public void Add(string name, TensorType type, ReadOnlySpan<int> shape, Action<Stream> writeData)
    {
        long length = type == TensorType.Float32 ? 4 : 2;
        foreach (int size in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(size, nameof(shape));
            length = checked(length * size);
        }

        _entries.Add(new Entry(name, type, shape.ToArray(), length, writeData));
    }

    /// <summary>Writes the file.</summary>
    public void Save(string path)
    {
        // Formats in the writer's order: wide numbers first, BF16 before F16.
        Entry[] ordered = [.. _entries
            .OrderBy(entry => entry.Type switch { TensorType.Float32 => 0, TensorType.BFloat16 => 1, _ => 2 })
            .ThenBy(entry => entry.Name, StringComparer.Ordinal)];
        byte[] header = Header(ordered);

        // The name does not end in .safetensors, so that what a killed process leaves is never taken for a model.
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20))
            {
                Span<byte> prefix = stackalloc byte[SafetensorsHeader.PrefixLength];
                BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)header.Length);
                stream.Write(prefix);
                stream.Write(header);
                foreach (Entry entry in ordered)
                {
                    long end = stream.Position + entry.Length;
                    entry.WriteData(stream);
                    if (stream.Position != end)
                    {
                        throw new InvalidOperationException($"Tensor \"{entry.Name}\" was given {stream.Position - end + entry.Length} bytes; its shape takes {entry.Length}.");
                    }
                }
            }

            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static byte[] Header(Entry[] entries)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt");
            json.WriteEndObject();
            long offset = 0;
            foreach (Entry entry in entries)
            {
                json.WriteStartObject(entry.Name);
                json.WriteString("dtype", entry.Type switch { TensorType.Float32 => "F32", TensorType.BFloat16 => "BF16", _ => "F16" });
                WriteArray(json, "shape", entry.Shape.Select(size => (long)size));
                WriteArray(json, "data_offsets", [offset, offset + entry.Length]);
                json.WriteEndObject();
                offset += entry.Length;
            }

            json.WriteEndObject();
        }

        while (bytes.Length % 8 != 0)
        {
            bytes.WriteByte((byte)' ');
        }

        if (bytes.Length > SafetensorsHeader.MaxLength)
        {
            throw new InvalidOperationException($"The header would have {bytes.Length:N0} bytes; the format allows {SafetensorsHeader.MaxLength:N0}.");
        }

        return bytes.ToArray();
    }

    private static void WriteArray(Utf8JsonWriter json, string name, IEnumerable<long> numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }

    private sealed record Entry(string Name, TensorType Type, int[] Shape, long Length, Action<Stream> WriteData);
}
