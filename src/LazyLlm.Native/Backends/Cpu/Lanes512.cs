using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>16 lanes: AVX-512.</summary>
internal readonly unsafe struct Lanes512 : ILanes<Vector512<float>>
{
    /// <inheritdoc/>
    public static int Count => 16;

    /// <inheritdoc/>
    public static int TileRows => 12;

    /// <inheritdoc/>
    public static Vector512<float> Zero => Vector512<float>.Zero;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Broadcast(float value) => Vector512.Create(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* source) => Vector512.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadBFloat16(ushort* source) => (LoadWords(source) << 16).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadFloat16(ushort* source) => FromHalf(LoadWords(source));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> value, float* destination) => value.Store(destination);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> left, Vector512<float> right) => left + right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> left, Vector512<float> right) => left * right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Divide(Vector512<float> left, Vector512<float> right) => left / right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplyAdd(Vector512<float> left, Vector512<float> right, Vector512<float> addend) =>
        Vector512.FusedMultiplyAdd(left, right, addend);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Max(Vector512<float> left, Vector512<float> right) => Vector512.MaxNative(left, right);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<float> value) => Lanes256.Sum(value.GetLower() + value.GetUpper());

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector512<float> value) => Lanes256.Largest(Vector256.MaxNative(value.GetLower(), value.GetUpper()));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> value)
    {
        Vector512<float> x = Vector512.MinNative(
            Vector512.MaxNative(value, Vector512.Create(Exponential.Lowest)), Vector512.Create(Exponential.Highest));
        Vector512<float> shifted = MultiplyAdd(x, Vector512.Create(Exponential.Log2E), Vector512.Create(Exponential.Shifter));
        Vector512<float> n = shifted - Vector512.Create(Exponential.Shifter);
        Vector512<float> r = MultiplyAdd(n, Vector512.Create(-Exponential.Ln2High), x);
        r = MultiplyAdd(n, Vector512.Create(-Exponential.Ln2Low), r);
        Vector512<float> sum = MultiplyAdd(Vector512.Create(Exponential.C7), r, Vector512.Create(Exponential.C6));
        sum = MultiplyAdd(sum, r, Vector512.Create(Exponential.C5));
        sum = MultiplyAdd(sum, r, Vector512.Create(Exponential.C4));
        sum = MultiplyAdd(sum, r, Vector512.Create(Exponential.C3));
        sum = MultiplyAdd(sum, r, Vector512.Create(0.5f));
        sum = MultiplyAdd(sum, r, Vector512<float>.One);
        sum = MultiplyAdd(sum, r, Vector512<float>.One);
        return sum * ((shifted.AsInt32() << 23) + Vector512.Create(127 << 23)).AsSingle();
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float** rows, nint offset, float* destination, nint destinationStride)
    {
        Vector512<float> r0 = Vector512.Load(rows[0] + offset);
        Vector512<float> r1 = Vector512.Load(rows[1] + offset);
        Vector512<float> r2 = Vector512.Load(rows[2] + offset);
        Vector512<float> r3 = Vector512.Load(rows[3] + offset);
        Vector512<float> r4 = Vector512.Load(rows[4] + offset);
        Vector512<float> r5 = Vector512.Load(rows[5] + offset);
        Vector512<float> r6 = Vector512.Load(rows[6] + offset);
        Vector512<float> r7 = Vector512.Load(rows[7] + offset);
        Vector512<float> r8 = Vector512.Load(rows[8] + offset);
        Vector512<float> r9 = Vector512.Load(rows[9] + offset);
        Vector512<float> r10 = Vector512.Load(rows[10] + offset);
        Vector512<float> r11 = Vector512.Load(rows[11] + offset);
        Vector512<float> r12 = Vector512.Load(rows[12] + offset);
        Vector512<float> r13 = Vector512.Load(rows[13] + offset);
        Vector512<float> r14 = Vector512.Load(rows[14] + offset);
        Vector512<float> r15 = Vector512.Load(rows[15] + offset);
        Vector512<float> a0 = Avx512F.UnpackLow(r0, r1);
        Vector512<float> a1 = Avx512F.UnpackHigh(r0, r1);
        Vector512<float> a2 = Avx512F.UnpackLow(r2, r3);
        Vector512<float> a3 = Avx512F.UnpackHigh(r2, r3);
        Vector512<float> a4 = Avx512F.UnpackLow(r4, r5);
        Vector512<float> a5 = Avx512F.UnpackHigh(r4, r5);
        Vector512<float> a6 = Avx512F.UnpackLow(r6, r7);
        Vector512<float> a7 = Avx512F.UnpackHigh(r6, r7);
        Vector512<float> a8 = Avx512F.UnpackLow(r8, r9);
        Vector512<float> a9 = Avx512F.UnpackHigh(r8, r9);
        Vector512<float> a10 = Avx512F.UnpackLow(r10, r11);
        Vector512<float> a11 = Avx512F.UnpackHigh(r10, r11);
        Vector512<float> a12 = Avx512F.UnpackLow(r12, r13);
        Vector512<float> a13 = Avx512F.UnpackHigh(r12, r13);
        Vector512<float> a14 = Avx512F.UnpackLow(r14, r15);
        Vector512<float> a15 = Avx512F.UnpackHigh(r14, r15);
        Vector512<float> b0 = UnpackLow(a0, a2);
        Vector512<float> b1 = UnpackHigh(a0, a2);
        Vector512<float> b2 = UnpackLow(a1, a3);
        Vector512<float> b3 = UnpackHigh(a1, a3);
        Vector512<float> b4 = UnpackLow(a4, a6);
        Vector512<float> b5 = UnpackHigh(a4, a6);
        Vector512<float> b6 = UnpackLow(a5, a7);
        Vector512<float> b7 = UnpackHigh(a5, a7);
        Vector512<float> b8 = UnpackLow(a8, a10);
        Vector512<float> b9 = UnpackHigh(a8, a10);
        Vector512<float> b10 = UnpackLow(a9, a11);
        Vector512<float> b11 = UnpackHigh(a9, a11);
        Vector512<float> b12 = UnpackLow(a12, a14);
        Vector512<float> b13 = UnpackHigh(a12, a14);
        Vector512<float> b14 = UnpackLow(a13, a15);
        Vector512<float> b15 = UnpackHigh(a13, a15);
        Vector512<float> c0 = Avx512F.Shuffle4x128(b0, b4, 0x88);
        Vector512<float> c4 = Avx512F.Shuffle4x128(b0, b4, 0xDD);
        Vector512<float> c8 = Avx512F.Shuffle4x128(b8, b12, 0x88);
        Vector512<float> c12 = Avx512F.Shuffle4x128(b8, b12, 0xDD);
        Vector512<float> c1 = Avx512F.Shuffle4x128(b1, b5, 0x88);
        Vector512<float> c5 = Avx512F.Shuffle4x128(b1, b5, 0xDD);
        Vector512<float> c9 = Avx512F.Shuffle4x128(b9, b13, 0x88);
        Vector512<float> c13 = Avx512F.Shuffle4x128(b9, b13, 0xDD);
        Vector512<float> c2 = Avx512F.Shuffle4x128(b2, b6, 0x88);
        Vector512<float> c6 = Avx512F.Shuffle4x128(b2, b6, 0xDD);
        Vector512<float> c10 = Avx512F.Shuffle4x128(b10, b14, 0x88);
        Vector512<float> c14 = Avx512F.Shuffle4x128(b10, b14, 0xDD);
        Vector512<float> c3 = Avx512F.Shuffle4x128(b3, b7, 0x88);
        Vector512<float> c7 = Avx512F.Shuffle4x128(b3, b7, 0xDD);
        Vector512<float> c11 = Avx512F.Shuffle4x128(b11, b15, 0x88);
        Vector512<float> c15 = Avx512F.Shuffle4x128(b11, b15, 0xDD);
        Avx512F.Shuffle4x128(c0, c8, 0x88).Store(destination + (0 * destinationStride));
        Avx512F.Shuffle4x128(c1, c9, 0x88).Store(destination + (1 * destinationStride));
        Avx512F.Shuffle4x128(c2, c10, 0x88).Store(destination + (2 * destinationStride));
        Avx512F.Shuffle4x128(c3, c11, 0x88).Store(destination + (3 * destinationStride));
        Avx512F.Shuffle4x128(c4, c12, 0x88).Store(destination + (4 * destinationStride));
        Avx512F.Shuffle4x128(c5, c13, 0x88).Store(destination + (5 * destinationStride));
        Avx512F.Shuffle4x128(c6, c14, 0x88).Store(destination + (6 * destinationStride));
        Avx512F.Shuffle4x128(c7, c15, 0x88).Store(destination + (7 * destinationStride));
        Avx512F.Shuffle4x128(c0, c8, 0xDD).Store(destination + (8 * destinationStride));
        Avx512F.Shuffle4x128(c1, c9, 0xDD).Store(destination + (9 * destinationStride));
        Avx512F.Shuffle4x128(c2, c10, 0xDD).Store(destination + (10 * destinationStride));
        Avx512F.Shuffle4x128(c3, c11, 0xDD).Store(destination + (11 * destinationStride));
        Avx512F.Shuffle4x128(c4, c12, 0xDD).Store(destination + (12 * destinationStride));
        Avx512F.Shuffle4x128(c5, c13, 0xDD).Store(destination + (13 * destinationStride));
        Avx512F.Shuffle4x128(c6, c14, 0xDD).Store(destination + (14 * destinationStride));
        Avx512F.Shuffle4x128(c7, c15, 0xDD).Store(destination + (15 * destinationStride));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreWords(Vector512<float> left, Vector512<float> right, ushort* low, ushort* high)
    {
        Vector512<uint> mask = Vector512.Create(0xFFFFu);
        Vector512.Narrow(left.AsUInt32() & mask, right.AsUInt32() & mask).Store(low);
        Vector512.Narrow(left.AsUInt32() >> 16, right.AsUInt32() >> 16).Store(high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> LoadWords(ushort* source) => Avx512F.ConvertToVector512UInt32(Vector256.Load(source));

    /// <summary>
    /// Halves in the low 16 bits of each lane: sign and magnitude move to their places, a multiplication by 2^112 rebases
    /// the exponent (and normalises subnormals), and infinities and NaN get the exponent that they must have.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> FromHalf(Vector512<uint> half)
    {
        Vector512<int> placed = ((half << 16).AsInt32() >> 3) & Vector512.Create(unchecked((int)0x8FFFE000));
        Vector512<float> scaled = placed.AsSingle() * Vector512.Create(5.192296858534828e33f);
        Vector512<int> exponent = (half & Vector512.Create(0x7C00u)).AsInt32();
        Vector512<int> special = Vector512.Equals(exponent, Vector512.Create(0x7C00)) & Vector512.Create(0x7F800000);
        return (scaled.AsInt32() | special).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> UnpackLow(Vector512<float> left, Vector512<float> right) =>
        Avx512F.UnpackLow(left.AsDouble(), right.AsDouble()).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> UnpackHigh(Vector512<float> left, Vector512<float> right) =>
        Avx512F.UnpackHigh(left.AsDouble(), right.AsDouble()).AsSingle();
}
