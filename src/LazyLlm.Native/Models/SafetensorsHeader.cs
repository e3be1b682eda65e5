using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>
/// Reads the header of a safetensors file by the rules of the format's reference reader, which the comments number
/// R1 to R11, and a few stricter ones (no duplicate keys; bounds on tensors, ranks, fields and names) that keep a
/// hostile header from costing more than its own size. Spaces before the opening brace are accepted, as that reader does.
/// </summary>
internal ref struct SafetensorsHeader
{
    /// <summary>Bytes before the header: its length, little-endian.</summary>
    public const int PrefixLength = 8;

    /// <summary>Bytes that a header may have (R3).</summary>
    public const int MaxLength = 100_000_000;

    /// <summary>Tensors that one file may have.</summary>
    public const int MaxTensors = 100_000;

    /// <summary>Dimensions that one tensor may have.</summary>
    public const int MaxRank = 8;

    /// <summary>Bytes that a tensor's name, or the name of a field, may have as written in the header.</summary>
    public const int MaxNameLength = 1_024;

    /// <summary>Entries that <c>__metadata__</c> may have.</summary>
    public const int MaxMetadataEntries = 10_000;

    /// <summary>Fields that one tensor's entry may have; the format defines three.</summary>
    public const int MaxFields = 64;

    private readonly string _path;
    private readonly HashSet<string> _seen;
    private Utf8JsonReader _json;

    // The tensor that is being read, for messages.
    private string? _tensor;

    private SafetensorsHeader(string path, ReadOnlySpan<byte> header)
    {
        _path = path;
        _seen = [];
        _json = new Utf8JsonReader(header);
    }

    /// <summary>The header's length out of the first bytes of the file.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="prefix">The file's first 8 bytes, or all it has.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    public static int ReadLength(string path, ReadOnlySpan<byte> prefix, long fileLength)
    {
        if (prefix.Length < PrefixLength)
        {
            // R1
            throw new ModelFormatException(path, $"has {fileLength} bytes; a safetensors file starts with 8 bytes that give the length of its header.");
        }

        // R2: a 64-bit process represents every length.
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > MaxLength)
        {
            // R3
            throw new ModelFormatException(path, $"says that its header has {length:N0} bytes; expected at most {MaxLength:N0}. It is damaged, or not a safetensors file.");
        }

        if (PrefixLength + (long)length > fileLength)
        {
            // R4
            throw new ModelFormatException(path, $"says that its header has {length:N0} bytes, but the file ends after {fileLength:N0}. It is cut short; fetch it again.");
        }

        return (int)length;
    }

    /// <summary>The tensors of a file, in the order of their data.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="header">The header: what lies between the first 8 bytes and the data.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <exception cref="ModelFormatException">A rule is broken.</exception>
    public static SafetensorsTensor[] Parse(string path, ReadOnlySpan<byte> header, long fileLength)
    {
        if (!Utf8.IsValid(header))
        {
            // R5
            throw new ModelFormatException(path, "has a header that is not UTF-8. It is damaged, or not a safetensors file.");
        }

        try
        {
            var reader = new SafetensorsHeader(path, header);
            List<Entry> entries = reader.ReadEntries();
            return reader.Place(entries, (ulong)header.Length, (ulong)fileLength);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // R6. InvalidOperationException is how System.Text.Json refuses half a surrogate pair.
            throw new ModelFormatException(path, $"has a header that is not valid JSON: {Excerpt.Of(e.Message)}", e);
        }
    }

    private List<Entry> ReadEntries()
    {
        _json.Read();
        Expect(JsonTokenType.StartObject, "the header", "an object");
        var names = new HashSet<string>();
        var entries = new List<Entry>();
        while (ReadName(out string? name))
        {
            if (!names.Add(name))
            {
                Refuse($"names {Excerpt.Quote(name)} twice in its header.");
            }

            _json.Read();
            if (name == "__metadata__")
            {
                CheckMetadata();
                continue;
            }

            if (entries.Count == MaxTensors)
            {
                Refuse($"has more than {MaxTensors:N0} tensors.");
            }

            _tensor = name;
            entries.Add(ReadEntry(name));
            _tensor = null;
        }

        // Whatever follows the closing brace, other than space, is an error of the JSON reader.
        _json.Read();
        return entries;
    }

    private void CheckMetadata()
    {
        if (_json.TokenType == JsonTokenType.Null)
        {
            return;
        }

        Expect(JsonTokenType.StartObject, "__metadata__", "an object of strings");
        _seen.Clear();
        while (ReadName(out string? key))
        {
            if (!_seen.Add(key))
            {
                Refuse($"names {Excerpt.Quote(key)} twice in __metadata__.");
            }

            if (_seen.Count > MaxMetadataEntries)
            {
                Refuse($"has more than {MaxMetadataEntries:N0} entries in __metadata__.");
            }

            _json.Read();
            Expect(JsonTokenType.String, "a value in __metadata__", "a string");
        }
    }

    private Entry ReadEntry(string name)
    {
        Expect(JsonTokenType.StartObject, "its entry", "an object");
        string? dataType = null;
        ulong[]? shape = null;
        ulong[]? offsets = null;
        _seen.Clear();
        while (ReadName(out string? field))
        {
            if (!_seen.Add(field))
            {
                Refuse($"names {Excerpt.Quote(field)} twice.");
            }

            if (_seen.Count > MaxFields)
            {
                Refuse($"has more than {MaxFields} fields.");
            }

            _json.Read();
            switch (field)
            {
                case "dtype":
                    dataType = ReadDataType();
                    break;
                case "shape":
                    shape = ReadNumbers("shape", MaxRank);
                    break;
                case "data_offsets":
                    offsets = ReadNumbers("data_offsets", 2);
                    break;
                default:
                    _json.Skip();
                    break;
            }
        }

        if (dataType is null || shape is null || offsets is not [ulong begin, ulong end])
        {
            string missing = dataType is null ? "dtype" : shape is null ? "shape" : "data_offsets of two numbers";
            return Refuse<Entry>($"has no {missing}.");
        }

        return new Entry(name, dataType, shape, begin, end);
    }

    private string ReadDataType()
    {
        Expect(JsonTokenType.String, "dtype", "a string");
        string text = _json.ValueSpan.Length <= MaxNameLength ? _json.GetString()! : "";
        if (BitsOf(text) == 0)
        {
            Refuse($"has the unknown dtype {Excerpt.Quote(text)}.");
        }

        return text;
    }

    private ulong[] ReadNumbers(string field, int max)
    {
        Expect(JsonTokenType.StartArray, field, "an array");
        Span<ulong> numbers = stackalloc ulong[max];
        int count = 0;
        while (_json.Read() && _json.TokenType != JsonTokenType.EndArray)
        {
            if (count == max)
            {
                Refuse($"has more than {max} numbers in {field}.");
            }

            Expect(JsonTokenType.Number, field, "whole numbers");
            if (!_json.TryGetUInt64(out numbers[count++]))
            {
                Refuse($"has a number in {field} that is not whole, is negative, or is above 2^64 - 1.");
            }
        }

        return numbers[..count].ToArray();
    }

    /// <summary>Checks that the tensors fill the data without hole, overlap or rest, and gives them their place in the file.</summary>
    private SafetensorsTensor[] Place(List<Entry> entries, ulong headerLength, ulong fileLength)
    {
        entries.Sort(static (a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
        ulong dataStart = PrefixLength + headerLength;
        ulong dataLength = fileLength - dataStart;
        ulong previousEnd = 0;
        var tensors = new SafetensorsTensor[entries.Count];
        for (int i = 0; i < tensors.Length; i++)
        {
            Entry entry = entries[i];
            _tensor = entry.Name;
            if (entry.Begin != previousEnd || entry.End < entry.Begin)
            {
                // R7
                string expected = entry.Begin != previousEnd ? $"start at {previousEnd}, where the tensor before it ends" : "end where it starts, or later";
                Refuse($"has data_offsets [{entry.Begin}, {entry.End}]; expected to {expected}.");
            }

            ulong bytes = ByteLength(entry);
            if (entry.End - entry.Begin != bytes)
            {
                // R10
                Refuse($"has {entry.End - entry.Begin} bytes of data, but {entry.DataType} [{string.Join(", ", entry.Shape)}] takes {bytes}.");
            }

            if (entry.End > dataLength)
            {
                // R11 for a file that is too short, said of the first tensor it cuts.
                Refuse($"ends at byte {entry.End} of the data, but the file holds {dataLength}. It is cut short; fetch it again.");
            }

            previousEnd = entry.End;
            tensors[i] = new SafetensorsTensor(entry.Name, entry.DataType, entry.Shape, (long)(dataStart + entry.Begin), (long)bytes);
        }

        _tensor = null;
        if (previousEnd != dataLength)
        {
            // R11
            Refuse($"holds {dataLength:N0} bytes of data, but its tensors take {previousEnd:N0}. What follows the last tensor belongs to none.");
        }

        return tensors;
    }

    private readonly ulong ByteLength(Entry entry)
    {
        // R8, from left to right as the reference does: [2^64-1, 2, 0] overflows, [0, 2^64-1, 2] does not.
        try
        {
            ulong bits = 1;
            foreach (ulong size in entry.Shape)
            {
                bits = checked(bits * size);
            }

            bits = checked(bits * (ulong)BitsOf(entry.DataType));
            if (bits % 8 != 0)
            {
                // R9
                Refuse($"{entry.DataType} [{string.Join(", ", entry.Shape)}] is not a whole number of bytes.");
            }

            return bits / 8;
        }
        catch (OverflowException e)
        {
            throw new ModelFormatException(_path, Locate($"{entry.DataType} [{string.Join(", ", entry.Shape)}] has more bits than 64-bit arithmetic counts."), e);
        }
    }

    /// <summary>Moves to the next name of the object at hand; false at its end.</summary>
    private bool ReadName([NotNullWhen(true)] out string? name)
    {
        name = null;
        _json.Read();
        if (_json.TokenType == JsonTokenType.EndObject)
        {
            return false;
        }

        if (_json.ValueSpan.Length > MaxNameLength)
        {
            Refuse($"has a name of {_json.ValueSpan.Length:N0} bytes; expected at most {MaxNameLength:N0}.");
        }

        name = _json.GetString()!;
        return true;
    }

    private readonly void Expect(JsonTokenType type, string what, string expected)
    {
        if (_json.TokenType != type)
        {
            Refuse($"{what} is {Describe(_json.TokenType)}; expected {expected}.");
        }
    }

    private static string Describe(JsonTokenType type) => type switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a string",
        JsonTokenType.Number => "a number",
        JsonTokenType.Null => "null",
        _ => "true or false",
    };

    [DoesNotReturn]
    private readonly void Refuse(string problem) => Refuse<Entry>(problem);

    [DoesNotReturn]
    private readonly T Refuse<T>(string problem) => throw new ModelFormatException(_path, Locate(problem));

    private readonly string Locate(string problem) => _tensor is null ? problem : $"tensor {Excerpt.Quote(_tensor)}: {problem}";

    /// <summary>Bits of one number; 0 for a format that safetensors does not know.</summary>
    private static int BitsOf(string dataType) => dataType switch
    {
        "F4" => 4,
        "F6_E2M3" or "F6_E3M2" => 6,
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" or "F8_E8M0" or "F8_E4M3FNUZ" or "F8_E5M2FNUZ" => 8,
        "I16" or "U16" or "F16" or "BF16" => 16,
        "I32" or "U32" or "F32" => 32,
        "C64" or "F64" or "I64" or "U64" => 64,
        _ => 0,
    };

    private readonly record struct Entry(string Name, string DataType, ulong[] Shape, ulong Begin, ulong End);
}
