namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// One vector register's worth of float32 lanes. Kernels are written once over this interface; each instruction set
/// gives its own struct, so that the JIT compiles every kernel for exactly that width.
/// </summary>
/// <typeparam name="TVector">The register type.</typeparam>
internal unsafe interface ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Lanes in a register; at most 16.</summary>
    static abstract int Count { get; }

    /// <summary>Rows of the register tile that a matrix product uses: 12 where there are 32 registers, else 6.</summary>
    static abstract int TileRows { get; }

    /// <summary>All lanes zero.</summary>
    static abstract TVector Zero { get; }

    /// <summary>All lanes <paramref name="value"/>.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>Reads <see cref="Count"/> floats from any address.</summary>
    static abstract TVector Load(float* source);

    /// <summary>Reads <see cref="Count"/> bfloat16 numbers, widened exactly.</summary>
    static abstract TVector LoadBFloat16(ushort* source);

    /// <summary>Reads <see cref="Count"/> IEEE half-precision numbers, widened exactly.</summary>
    static abstract TVector LoadFloat16(ushort* source);

    /// <summary>Writes <see cref="Count"/> floats to any address.</summary>
    static abstract void Store(TVector value, float* destination);

    /// <summary>Lane by lane sum.</summary>
    static abstract TVector Add(TVector left, TVector right);

    /// <summary>Lane by lane product.</summary>
    static abstract TVector Multiply(TVector left, TVector right);

    /// <summary>Lane by lane quotient.</summary>
    static abstract TVector Divide(TVector left, TVector right);

    /// <summary>Lane by lane <paramref name="left"/> x <paramref name="right"/> + <paramref name="addend"/>.</summary>
    static abstract TVector MultiplyAdd(TVector left, TVector right, TVector addend);

    /// <summary>Lane by lane maximum.</summary>
    static abstract TVector Max(TVector left, TVector right);

    /// <summary>Sum over the lanes, always in the same order.</summary>
    static abstract float Sum(TVector value);

    /// <summary>Largest lane.</summary>
    static abstract float Largest(TVector value);

    /// <summary>e to the power of each lane, within 2 units in the last place; inputs outside [-87.3, 88.3] are clamped to it.</summary>
    static abstract TVector Exp(TVector value);

    /// <summary>
    /// Transposes <see cref="Count"/> rows x <see cref="Count"/> 32-bit numbers: column c of the rows goes to
    /// <paramref name="destination"/> + c x <paramref name="destinationStride"/>.
    /// </summary>
    static abstract void Transpose(float** rows, nint offset, float* destination, nint destinationStride);

    /// <summary>
    /// Takes 2 x <see cref="Count"/> lanes of two 16-bit numbers each apart: the low halves go to <paramref name="low"/>,
    /// the high halves to <paramref name="high"/>.
    /// </summary>
    static abstract void StoreWords(TVector left, TVector right, ushort* low, ushort* high);
}
