using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>8 lanes: AVX2 with FMA.</summary>
internal readonly unsafe struct Lanes256 : ILanes<Vector256<float>>
{
    /// <inheritdoc/>
    public static int Count => 8;

    /// <inheritdoc/>
    public static int TileRows => 6;

    /// <inheritdoc/>
    public static Vector256<float> Zero => Vector256<float>.Zero;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Broadcast(float value) => Vector256.Create(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* source) => Vector256.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadBFloat16(ushort* source) => (LoadWords(source) << 16).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadFloat16(ushort* source) => FromHalf(LoadWords(source));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> value, float* destination) => value.Store(destination);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> left, Vector256<float> right) => left + right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> left, Vector256<float> right) => left * right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Divide(Vector256<float> left, Vector256<float> right) => left / right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> left, Vector256<float> right, Vector256<float> addend) =>
        Vector256.FusedMultiplyAdd(left, right, addend);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Max(Vector256<float> left, Vector256<float> right) => Vector256.MaxNative(left, right);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256<float> value) => Lanes128.Sum(value.GetLower() + value.GetUpper());

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector256<float> value) => Lanes128.Largest(Vector128.MaxNative(value.GetLower(), value.GetUpper()));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> value)
    {
        Vector256<float> x = Vector256.MinNative(
            Vector256.MaxNative(value, Vector256.Create(Exponential.Lowest)), Vector256.Create(Exponential.Highest));
        Vector256<float> shifted = MultiplyAdd(x, Vector256.Create(Exponential.Log2E), Vector256.Create(Exponential.Shifter));
        Vector256<float> n = shifted - Vector256.Create(Exponential.Shifter);
        Vector256<float> r = MultiplyAdd(n, Vector256.Create(-Exponential.Ln2High), x);
        r = MultiplyAdd(n, Vector256.Create(-Exponential.Ln2Low), r);
        Vector256<float> sum = MultiplyAdd(Vector256.Create(Exponential.C7), r, Vector256.Create(Exponential.C6));
        sum = MultiplyAdd(sum, r, Vector256.Create(Exponential.C5));
        sum = MultiplyAdd(sum, r, Vector256.Create(Exponential.C4));
        sum = MultiplyAdd(sum, r, Vector256.Create(Exponential.C3));
        sum = MultiplyAdd(sum, r, Vector256.Create(0.5f));
        sum = MultiplyAdd(sum, r, Vector256<float>.One);
        sum = MultiplyAdd(sum, r, Vector256<float>.One);
        return sum * ((shifted.AsInt32() << 23) + Vector256.Create(127 << 23)).AsSingle();
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float** rows, nint offset, float* destination, nint destinationStride)
    {
        Vector256<float> r0 = Vector256.Load(rows[0] + offset);
        Vector256<float> r1 = Vector256.Load(rows[1] + offset);
        Vector256<float> r2 = Vector256.Load(rows[2] + offset);
        Vector256<float> r3 = Vector256.Load(rows[3] + offset);
        Vector256<float> r4 = Vector256.Load(rows[4] + offset);
        Vector256<float> r5 = Vector256.Load(rows[5] + offset);
        Vector256<float> r6 = Vector256.Load(rows[6] + offset);
        Vector256<float> r7 = Vector256.Load(rows[7] + offset);
        Vector256<float> a0 = Avx.UnpackLow(r0, r1);
        Vector256<float> a1 = Avx.UnpackHigh(r0, r1);
        Vector256<float> a2 = Avx.UnpackLow(r2, r3);
        Vector256<float> a3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> a4 = Avx.UnpackLow(r4, r5);
        Vector256<float> a5 = Avx.UnpackHigh(r4, r5);
        Vector256<float> a6 = Avx.UnpackLow(r6, r7);
        Vector256<float> a7 = Avx.UnpackHigh(r6, r7);
        Vector256<float> b0 = UnpackLow(a0, a2);
        Vector256<float> b1 = UnpackHigh(a0, a2);
        Vector256<float> b2 = UnpackLow(a1, a3);
        Vector256<float> b3 = UnpackHigh(a1, a3);
        Vector256<float> b4 = UnpackLow(a4, a6);
        Vector256<float> b5 = UnpackHigh(a4, a6);
        Vector256<float> b6 = UnpackLow(a5, a7);
        Vector256<float> b7 = UnpackHigh(a5, a7);
        Avx.Permute2x128(b0, b4, 0x20).Store(destination + (0 * destinationStride));
        Avx.Permute2x128(b1, b5, 0x20).Store(destination + (1 * destinationStride));
        Avx.Permute2x128(b2, b6, 0x20).Store(destination + (2 * destinationStride));
        Avx.Permute2x128(b3, b7, 0x20).Store(destination + (3 * destinationStride));
        Avx.Permute2x128(b0, b4, 0x31).Store(destination + (4 * destinationStride));
        Avx.Permute2x128(b1, b5, 0x31).Store(destination + (5 * destinationStride));
        Avx.Permute2x128(b2, b6, 0x31).Store(destination + (6 * destinationStride));
        Avx.Permute2x128(b3, b7, 0x31).Store(destination + (7 * destinationStride));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreWords(Vector256<float> left, Vector256<float> right, ushort* low, ushort* high)
    {
        Vector256<uint> mask = Vector256.Create(0xFFFFu);
        Vector256.Narrow(left.AsUInt32() & mask, right.AsUInt32() & mask).Store(low);
        Vector256.Narrow(left.AsUInt32() >> 16, right.AsUInt32() >> 16).Store(high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> LoadWords(ushort* source) => Avx2.ConvertToVector256Int32(Vector128.Load(source)).AsUInt32();

    /// <summary>
    /// Halves in the low 16 bits of each lane: sign and magnitude move to their places, a multiplication by 2^112 rebases
    /// the exponent (and normalises subnormals), and infinities and NaN get the exponent that they must have.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> FromHalf(Vector256<uint> half)
    {
        Vector256<int> placed = ((half << 16).AsInt32() >> 3) & Vector256.Create(unchecked((int)0x8FFFE000));
        Vector256<float> scaled = placed.AsSingle() * Vector256.Create(5.192296858534828e33f);
        Vector256<int> exponent = (half & Vector256.Create(0x7C00u)).AsInt32();
        Vector256<int> special = Vector256.Equals(exponent, Vector256.Create(0x7C00)) & Vector256.Create(0x7F800000);
        return (scaled.AsInt32() | special).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> UnpackLow(Vector256<float> left, Vector256<float> right) =>
        Avx.UnpackLow(left.AsDouble(), right.AsDouble()).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> UnpackHigh(Vector256<float> left, Vector256<float> right) =>
        Avx.UnpackHigh(left.AsDouble(), right.AsDouble()).AsSingle();
}
