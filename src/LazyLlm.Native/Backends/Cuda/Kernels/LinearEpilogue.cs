namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>What happens to the sums of a product: <c>Epilogue</c> in linear.cuh.</summary>
internal enum LinearEpilogue
{
    /// <summary>Written in the storage format.</summary>
    Store,

    /// <summary>Added to what stands there, float32.</summary>
    AddResidual,

    /// <summary>silu(gate) · up, in the storage format: weights alternate 8 rows of gate and 8 of up.</summary>
    SwiGlu,

    /// <summary>Written as float32.</summary>
    StoreFloat,
}
