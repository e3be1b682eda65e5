using System.Numerics;

namespace LazyLlm.Native.Sampling;

/// <summary>
/// The generator xoshiro256** of Blackman and Vigna, its state filled from the seed by splitmix64 as they advise.
/// Written out so that a seed means the same on every platform and with every version of .NET.
/// </summary>
internal struct RandomSequence
{
    private ulong _s0;
    private ulong _s1;
    private ulong _s2;
    private ulong _s3;

    /// <summary>The sequence of a seed; every seed is good, 0 too.</summary>
    public RandomSequence(ulong seed)
        : this(SplitMix(ref seed), SplitMix(ref seed), SplitMix(ref seed), SplitMix(ref seed))
    {
    }

    /// <summary>The sequence that goes on from a state, not all zero.</summary>
    internal RandomSequence(ulong s0, ulong s1, ulong s2, ulong s3)
    {
        _s0 = s0;
        _s1 = s1;
        _s2 = s2;
        _s3 = s3;
    }

    /// <summary>The next 64 bits.</summary>
    public ulong Next()
    {
        ulong result = BitOperations.RotateLeft(_s1 * 5, 7) * 9;
        ulong shifted = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= shifted;
        _s3 = BitOperations.RotateLeft(_s3, 45);
        return result;
    }

    /// <summary>The next number from 0 to below 1, a multiple of 2^-53.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>One step of splitmix64.</summary>
    internal static ulong SplitMix(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
