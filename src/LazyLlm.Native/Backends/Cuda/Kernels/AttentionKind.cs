namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The ways attention is computed. Within each, what a row gets does not depend on the other rows.</summary>
internal enum AttentionKind
{
    /// <summary>One row, or float32: row by row, K and V split (attention_rows.cuh).</summary>
    Rows,

    /// <summary>Up to 64 rows by <c>mma.sync</c>, K and V split (attention_tiles.cuh).</summary>
    SplitTiles,

    /// <summary>Many rows by <c>mma.sync</c>, over slots in order or through a list (attention_tiles.cuh).</summary>
    Tiles,

    /// <summary>Many rows over slots in order on compute capability 9.0: the copy engine and <c>wgmma</c> (attention_sm90.cu).</summary>
    Hopper,

    /// <summary>Many rows through a slot list on compute capability 9.0: gathered by threads, <c>wgmma</c> (attention_gathered_sm90.cu).</summary>
    HopperGathered,

    /// <summary>The same, where two blocks share the keys of a tile of rows, as otherwise half of the GPU would be idle.</summary>
    HopperPaired,
}
