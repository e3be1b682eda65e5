namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>
/// The ways a product is computed. Within each, what a row gets does not depend on how many there are; so a sequence's own
/// row count chooses, and rows of the same kind may go together.
/// </summary>
internal enum LinearKind
{
    /// <summary>Few rows: the weights are streamed (gemv.cu).</summary>
    Streamed,

    /// <summary>More rows: <c>mma.sync</c>, or plain arithmetic in float32 (gemm.cu).</summary>
    Portable,

    /// <summary>Many rows on compute capability 9.0: the copy engine and <c>wgmma</c> (gemm_sm90.cu).</summary>
    Hopper,
}
