using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>How a matrix stands in memory, so that the register tiles are compiled for each number format.</summary>
/// <typeparam name="TLanes">The instruction set.</typeparam>
/// <typeparam name="TVector">Its register type.</typeparam>
internal unsafe interface IWeightFormat<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Bytes of a number.</summary>
    static abstract int ElementSize { get; }

    /// <summary>Reads a register of numbers, widened to float32.</summary>
    static abstract TVector Load(byte* source);
}

/// <summary>float32 as it is.</summary>
internal readonly unsafe struct Float32Format<TLanes, TVector> : IWeightFormat<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public static int ElementSize => 4;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load(byte* source) => TLanes.Load((float*)source);
}

/// <summary>bfloat16, widened on reading.</summary>
internal readonly unsafe struct BFloat16Format<TLanes, TVector> : IWeightFormat<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public static int ElementSize => 2;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load(byte* source) => TLanes.LoadBFloat16((ushort*)source);
}

/// <summary>IEEE half precision, widened on reading.</summary>
internal readonly unsafe struct Float16Format<TLanes, TVector> : IWeightFormat<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public static int ElementSize => 2;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load(byte* source) => TLanes.LoadFloat16((ushort*)source);
}
