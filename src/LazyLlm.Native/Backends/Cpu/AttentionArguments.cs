namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Rows of C against the token set T, in float32: row i sees the first <see cref="Limits"/>[i] entries of T, which is what
/// "positions up to its own" comes to where T is ascending.
/// </summary>
internal unsafe struct AttentionArguments
{
    /// <summary>Rotated query rows, head after head.</summary>
    public float* Query;

    /// <summary>Floats from one query row to the next.</summary>
    public nint QueryStride;

    /// <summary>Attention rows, head after head.</summary>
    public float* Output;

    /// <summary>Floats from one output row to the next.</summary>
    public nint OutputStride;

    /// <summary>Rows of C.</summary>
    public int Rows;

    /// <summary>How many entries of T each row sees; ascending, at least 1.</summary>
    public int* Limits;

    /// <summary>K rows of the layer by slot, head after head.</summary>
    public float* Keys;

    /// <summary>V rows of the layer by slot, head after head.</summary>
    public float* Values;

    /// <summary>Floats from one slot to the next.</summary>
    public nint CacheStride;

    /// <summary>Slot of each entry of T.</summary>
    public int* Slots;

    /// <summary>|T|.</summary>
    public int TokenCount;

    /// <summary>Query heads.</summary>
    public int HeadCount;

    /// <summary>Key and value heads.</summary>
    public int KeyValueHeadCount;

    /// <summary>Numbers of a head.</summary>
    public int HeadSize;

    /// <summary>What scores are multiplied by.</summary>
    public float Scale;

    /// <summary>Multiply-adds, at most.</summary>
    public readonly long Work => 2L * Rows * TokenCount * HeadCount * HeadSize;

    /// <summary>Query heads that share a K/V head.</summary>
    public readonly int Group => HeadCount / KeyValueHeadCount;
}
