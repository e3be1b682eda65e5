using System.Globalization;

namespace LazyLlm.Cli.Output;

/// <summary>Quantities as people read them; the same in every culture.</summary>
internal static class Units
{
    private static readonly string[] ByteUnits = ["bytes", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>Bytes with three digits: <c>5.36 MiB</c>.</summary>
    public static string Bytes(long bytes)
    {
        double value = bytes;
        int unit = 0;
        while (Math.Abs(value) >= 1000 && unit < ByteUnits.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return unit == 0 ? $"{bytes} bytes" : $"{Digits(value)} {ByteUnits[unit]}";
    }

    /// <summary>A time with three digits: <c>62.1 ms</c>, <c>3.27 s</c>.</summary>
    public static string Time(TimeSpan time) =>
        time.TotalSeconds >= 1 ? $"{Digits(time.TotalSeconds)} s" : $"{Digits(time.TotalMilliseconds)} ms";

    /// <summary>A count with thousands apart.</summary>
    public static string Count(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>A large count in words: <c>2.8 million</c>.</summary>
    public static string Magnitude(long count) => count switch
    {
        >= 1_000_000_000 => $"{Digits(count / 1e9)} billion",
        >= 1_000_000 => $"{Digits(count / 1e6)} million",
        _ => Count(count),
    };

    /// <summary>A share in percent: <c>40%</c>, and with a digit after the point below ten.</summary>
    public static string Share(double share) => share.ToString(share is > 0 and < 0.0995 ? "0.0%" : "0%", CultureInfo.InvariantCulture);

    /// <summary>How many times as fast: <c>2.27x</c>.</summary>
    public static string Ratio(double ratio) => $"{Digits(ratio)}x";

    private static string Digits(double value) =>
        value.ToString(Math.Abs(value) switch { >= 100 => "0", >= 10 => "0.0", _ => "0.00" }, CultureInfo.InvariantCulture);
}
