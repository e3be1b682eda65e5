namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>A GPU's architecture, e.g. 8.0 (Ampere) or 9.0 (Hopper).</summary>
/// <param name="Major">The generation.</param>
/// <param name="Minor">The variant.</param>
public readonly record struct ComputeCapability(int Major, int Minor) : IComparable<ComputeCapability>
{
    /// <summary>The oldest that the kernels run on.</summary>
    public static ComputeCapability Minimum => new(8, 0);

    /// <summary>Whether Hopper's own instructions (sm_90a) are there.</summary>
    public bool IsHopper => Major == 9 && Minor == 0;

    /// <summary>Whether a kernel may start before those it depends on end, and wait for them itself.</summary>
    public bool HasDependentLaunch => Major >= 9;

    /// <summary>Reads <c>sm_80</c>, <c>80</c> or <c>8.0</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="value">The architecture.</param>
    /// <returns>Whether the text is one.</returns>
    public static bool TryParse(string text, out ComputeCapability value)
    {
        ArgumentNullException.ThrowIfNull(text);
        string digits = text.StartsWith("sm_", StringComparison.Ordinal) ? text[3..].TrimEnd('a') : text;
        digits = digits.Replace(".", string.Empty, StringComparison.Ordinal);
        bool valid = digits.Length is 2 or 3 & int.TryParse(digits, System.Globalization.NumberStyles.None, null, out int number);
        value = valid ? new ComputeCapability(number / 10, number % 10) : default;
        return valid;
    }

    /// <inheritdoc/>
    public int CompareTo(ComputeCapability other) => (Major, Minor).CompareTo((other.Major, other.Minor));

    /// <summary>Orders by generation, then variant.</summary>
    public static bool operator <(ComputeCapability left, ComputeCapability right) => left.CompareTo(right) < 0;

    /// <summary>Orders by generation, then variant.</summary>
    public static bool operator >(ComputeCapability left, ComputeCapability right) => left.CompareTo(right) > 0;

    /// <summary>Orders by generation, then variant.</summary>
    public static bool operator <=(ComputeCapability left, ComputeCapability right) => left.CompareTo(right) <= 0;

    /// <summary>Orders by generation, then variant.</summary>
    public static bool operator >=(ComputeCapability left, ComputeCapability right) => left.CompareTo(right) >= 0;

    /// <summary>The text form, e.g. <c>8.0</c>.</summary>
    public override string ToString() => $"{Major}.{Minor}";
}
