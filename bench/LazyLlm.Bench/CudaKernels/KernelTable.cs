using System.Globalization;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>The rows of a report as text that is Markdown too.</summary>
internal static class KernelTable
{
    private static readonly string[] Titles = ["kernel", "sizes", "us", "floor us", "share", "GB/s", "TFLOP/s", "peer us", "peer / ours"];
    private static readonly int[] Widths = [24, 24, 10, 10, 6, 7, 8, 10, 11];

    /// <summary>The lines above the rows.</summary>
    public static string Header => $"{Line(Titles)}\n|{string.Join('|', Widths.Select((width, column) => column < 2 ? new string('-', width + 2) : new string('-', width + 1) + ":"))}|";

    /// <summary>One row.</summary>
    public static string Of(KernelRow row) => row.Error is string error
        ? $"| {row.Kernel} | {row.SizeText} | FAILED: {error} |"
        : Line(
            row.Kernel,
            row.SizeText,
            Number(row.Us),
            Number(row.FloorUs),
            row.Share?.ToString("0%", CultureInfo.InvariantCulture) ?? "",
            row.Bytes > 0 ? Number(row.Bytes / row.Us / 1e3) : "",
            row.Operations > 0 ? Number(row.Operations / row.Us / 1e6) : "",
            Number(row.PeerUs),
            (row.PeerUs / row.Us)?.ToString("0.00", CultureInfo.InvariantCulture) ?? "");

    private static string Line(params string[] cells) =>
        $"| {string.Join(" | ", cells.Select((cell, column) => column < 2 ? cell.PadRight(Widths[column]) : cell.PadLeft(Widths[column])))} |";

    private static string Number(double? value) => value?.ToString(value switch { >= 1000 => "0", >= 100 => "0.0", _ => "0.00" }, CultureInfo.InvariantCulture) ?? "";
}
