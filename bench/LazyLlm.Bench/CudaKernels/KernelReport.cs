using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>What a run of the kernel benchmarks found, as its JSON file holds it.</summary>
internal sealed record KernelReport
{
    private static readonly JsonSerializerOptions Format = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };

    /// <summary>The device.</summary>
    public required string Device { get; init; }

    /// <summary>Its architecture.</summary>
    public required string Architecture { get; init; }

    /// <summary>The model's shape, by name.</summary>
    public required string Shape { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int Hidden { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>K/V heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Size of a head.</summary>
    public required int HeadSize { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>Bytes read and written per second by a large copy within the device, in GB/s: the floor of bytes.</summary>
    public double CopyGbPerS { get; init; }

    /// <summary>The tensor cores' dense 16-bit rate that the maker names, in TFLOP/s: the floor of operations. Null where it is not known.</summary>
    public double? TensorTflops { get; init; }

    /// <summary>Runs that each median is of.</summary>
    public int Repetitions { get; init; }

    /// <summary>What was measured, in order.</summary>
    public IReadOnlyList<KernelRow> Rows { get; init; } = [];

    /// <summary>Reads a report.</summary>
    /// <exception cref="DataFormatException">The file is none.</exception>
    public static KernelReport Read(string path) => Parse<KernelReport>(path);

    /// <summary>Writes the report.</summary>
    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Format));

    /// <summary>The report with the times that bench/gpu/peers.py measured.</summary>
    /// <exception cref="DataFormatException">The file is none of its.</exception>
    public KernelReport WithPeers(string path)
    {
        var times = new Dictionary<string, double>();
        foreach (PeerRow row in Parse<PeerReport>(path).Rows.Where(row => row.Us is > 0))
        {
            times[KernelRow.KeyOf(row.Peer, row.Sizes)] = row.Us!.Value;
        }

        return this with { Rows = [.. Rows.Select(row => times.TryGetValue(row.PeerKey, out double time) ? row with { PeerUs = time } : row)] };
    }

    private static T Parse<T>(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(File.ReadAllBytes(path), Format) ?? throw new DataFormatException(path, 0, "holds null, expected an object.");
        }
        catch (JsonException e)
        {
            throw new DataFormatException(path, 0, $"is no file of the kernel benchmarks: {e.Message}", e);
        }
    }

    private sealed record PeerReport
    {
        public required IReadOnlyList<PeerRow> Rows { get; init; }
    }

    private sealed record PeerRow
    {
        public required string Peer { get; init; }

        public required IReadOnlyDictionary<string, int> Sizes { get; init; }

        public double? Us { get; init; }
    }
}
