namespace LazyLlm.Native.Backends.Cpu;

/// <summary>How rows that register tiles read lie in memory.</summary>
internal static class RowLayout
{
    /// <summary>Rows that must be readable behind the last one: a tile reads whole.</summary>
    public const int Padding = 12;

    /// <summary>
    /// Floats from one row of <paramref name="width"/> numbers to the next: an odd number of 64-byte lines. A tile reads 12
    /// rows at the same column; with a power of two between them these would fight over one set of the first-level cache.
    /// </summary>
    public static nint Stride(int width) => (((width + 15) / 16) | 1) * 16;
}
