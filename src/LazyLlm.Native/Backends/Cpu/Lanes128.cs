using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>4 lanes, on any machine that .NET runs on.</summary>
internal readonly unsafe struct Lanes128 : ILanes<Vector128<float>>
{
    /// <inheritdoc/>
    public static int Count => 4;

    /// <inheritdoc/>
    public static int TileRows => 6;

    /// <inheritdoc/>
    public static Vector128<float> Zero => Vector128<float>.Zero;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Broadcast(float value) => Vector128.Create(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load(float* source) => Vector128.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> LoadBFloat16(ushort* source) => (LoadWords(source) << 16).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> LoadFloat16(ushort* source) => FromHalf(LoadWords(source));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector128<float> value, float* destination) => value.Store(destination);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Add(Vector128<float> left, Vector128<float> right) => left + right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Multiply(Vector128<float> left, Vector128<float> right) => left * right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Divide(Vector128<float> left, Vector128<float> right) => left / right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MultiplyAdd(Vector128<float> left, Vector128<float> right, Vector128<float> addend) =>
        Vector128.MultiplyAddEstimate(left, right, addend);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Max(Vector128<float> left, Vector128<float> right) => Vector128.MaxNative(left, right);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector128<float> value) => (value[0] + value[2]) + (value[1] + value[3]);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector128<float> value) => MathF.Max(MathF.Max(value[0], value[2]), MathF.Max(value[1], value[3]));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Exp(Vector128<float> value)
    {
        Vector128<float> x = Vector128.MinNative(
            Vector128.MaxNative(value, Vector128.Create(Exponential.Lowest)), Vector128.Create(Exponential.Highest));
        Vector128<float> shifted = MultiplyAdd(x, Vector128.Create(Exponential.Log2E), Vector128.Create(Exponential.Shifter));
        Vector128<float> n = shifted - Vector128.Create(Exponential.Shifter);
        Vector128<float> r = MultiplyAdd(n, Vector128.Create(-Exponential.Ln2High), x);
        r = MultiplyAdd(n, Vector128.Create(-Exponential.Ln2Low), r);
        Vector128<float> sum = MultiplyAdd(Vector128.Create(Exponential.C7), r, Vector128.Create(Exponential.C6));
        sum = MultiplyAdd(sum, r, Vector128.Create(Exponential.C5));
        sum = MultiplyAdd(sum, r, Vector128.Create(Exponential.C4));
        sum = MultiplyAdd(sum, r, Vector128.Create(Exponential.C3));
        sum = MultiplyAdd(sum, r, Vector128.Create(0.5f));
        sum = MultiplyAdd(sum, r, Vector128<float>.One);
        sum = MultiplyAdd(sum, r, Vector128<float>.One);
        return sum * ((shifted.AsInt32() << 23) + Vector128.Create(127 << 23)).AsSingle();
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float** rows, nint offset, float* destination, nint destinationStride)
    {
        Vector128<float> r0 = Vector128.Load(rows[0] + offset);
        Vector128<float> r1 = Vector128.Load(rows[1] + offset);
        Vector128<float> r2 = Vector128.Load(rows[2] + offset);
        Vector128<float> r3 = Vector128.Load(rows[3] + offset);
        Vector128<float> a0 = UnpackLow(r0, r2);
        Vector128<float> a1 = UnpackHigh(r0, r2);
        Vector128<float> a2 = UnpackLow(r1, r3);
        Vector128<float> a3 = UnpackHigh(r1, r3);
        UnpackLow(a0, a2).Store(destination + (0 * destinationStride));
        UnpackHigh(a0, a2).Store(destination + (1 * destinationStride));
        UnpackLow(a1, a3).Store(destination + (2 * destinationStride));
        UnpackHigh(a1, a3).Store(destination + (3 * destinationStride));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreWords(Vector128<float> left, Vector128<float> right, ushort* low, ushort* high)
    {
        Vector128<uint> mask = Vector128.Create(0xFFFFu);
        Vector128.Narrow(left.AsUInt32() & mask, right.AsUInt32() & mask).Store(low);
        Vector128.Narrow(left.AsUInt32() >> 16, right.AsUInt32() >> 16).Store(high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> LoadWords(ushort* source) => Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(ulong*)source).AsUInt16());

    /// <summary>
    /// Halves in the low 16 bits of each lane: sign and magnitude move to their places, a multiplication by 2^112 rebases
    /// the exponent (and normalises subnormals), and infinities and NaN get the exponent that they must have.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> FromHalf(Vector128<uint> half)
    {
        Vector128<int> placed = ((half << 16).AsInt32() >> 3) & Vector128.Create(unchecked((int)0x8FFFE000));
        Vector128<float> scaled = placed.AsSingle() * Vector128.Create(5.192296858534828e33f);
        Vector128<int> exponent = (half & Vector128.Create(0x7C00u)).AsInt32();
        Vector128<int> special = Vector128.Equals(exponent, Vector128.Create(0x7C00)) & Vector128.Create(0x7F800000);
        return (scaled.AsInt32() | special).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackLow(Vector128<float> left, Vector128<float> right) =>
        Vector128.ConditionalSelect(OddLanes, Vector128.Shuffle(right, Vector128.Create(0, 0, 1, 1)), Vector128.Shuffle(left, Vector128.Create(0, 0, 1, 1)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackHigh(Vector128<float> left, Vector128<float> right) =>
        Vector128.ConditionalSelect(OddLanes, Vector128.Shuffle(right, Vector128.Create(2, 2, 3, 3)), Vector128.Shuffle(left, Vector128.Create(2, 2, 3, 3)));

    private static Vector128<float> OddLanes => Vector128.Create(0, -1, 0, -1).AsSingle();
}
