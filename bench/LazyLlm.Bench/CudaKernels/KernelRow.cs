using System.Globalization;
using System.Text.Json.Serialization;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>One kernel at one size: what it has to do at least, and how long it took.</summary>
internal sealed record KernelRow
{
    /// <summary>The group that it is measured with.</summary>
    public required string Group { get; init; }

    /// <summary>The kernel, by the name of its operation.</summary>
    public required string Kernel { get; init; }

    /// <summary>Its sizes by name, in the order they are shown.</summary>
    public required IReadOnlyDictionary<string, int> Sizes { get; init; }

    /// <summary>Bytes that have to be read and written, each once.</summary>
    public double Bytes { get; init; }

    /// <summary>Floating-point operations of the tensor cores; 0 for a kernel that needs none.</summary>
    public double Operations { get; init; }

    /// <summary>What a peer does for the same result, by the names of bench/gpu/peers.py; null where there is nothing like it.</summary>
    public string? Peer { get; init; }

    /// <summary>Median time in microseconds; null where it failed.</summary>
    public double? Us { get; init; }

    /// <summary>The least time in microseconds that the bytes or the operations take; null for what has no such floor.</summary>
    public double? FloorUs { get; init; }

    /// <summary>The peer's median time in microseconds, where it was measured.</summary>
    public double? PeerUs { get; init; }

    /// <summary>Why it was not measured.</summary>
    public string? Error { get; init; }

    /// <summary>The share of the floor that is reached.</summary>
    [JsonIgnore]
    public double? Share => FloorUs / Us;

    /// <summary>What tells a peer's row from another.</summary>
    [JsonIgnore]
    public string PeerKey => KeyOf(Peer ?? "", Sizes);

    /// <summary>The sizes in one line.</summary>
    [JsonIgnore]
    public string SizeText => string.Join(' ', Sizes.Select(size => string.Create(CultureInfo.InvariantCulture, $"{size.Key}={size.Value}")));

    /// <summary>What tells a peer's row from another.</summary>
    public static string KeyOf(string peer, IReadOnlyDictionary<string, int> sizes) =>
        $"{peer} {string.Join(' ', sizes.OrderBy(size => size.Key, StringComparer.Ordinal).Select(size => string.Create(CultureInfo.InvariantCulture, $"{size.Key}={size.Value}")))}";
}
