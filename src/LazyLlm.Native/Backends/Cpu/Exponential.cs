namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Constants of the vectorised exponential: e^x = 2^n e^r with n = round(x / ln 2) and |r| at most ln 2 / 2, where the
/// Taylor series to degree 7 is exact to 6e-9 of the value.
/// </summary>
internal static class Exponential
{
    /// <summary>Below this the power of two would be subnormal.</summary>
    public const float Lowest = -87.3f;

    /// <summary>Above this the result would overflow.</summary>
    public const float Highest = 88.3f;

    /// <summary>1 / ln 2.</summary>
    public const float Log2E = 1.44269504f;

    /// <summary>1.5 x 2^23: adding it rounds to an integer and leaves that integer in the low bits.</summary>
    public const float Shifter = 12582912f;

    /// <summary>ln 2 in few enough bits that n times it is exact.</summary>
    public const float Ln2High = 0.693359375f;

    /// <summary>ln 2 minus <see cref="Ln2High"/>.</summary>
    public const float Ln2Low = -2.12194440e-4f;

    /// <summary>1 / 3!.</summary>
    public const float C3 = 1f / 6;

    /// <summary>1 / 4!.</summary>
    public const float C4 = 1f / 24;

    /// <summary>1 / 5!.</summary>
    public const float C5 = 1f / 120;

    /// <summary>1 / 6!.</summary>
    public const float C6 = 1f / 720;

    /// <summary>1 / 7!.</summary>
    public const float C7 = 1f / 5040;
}
