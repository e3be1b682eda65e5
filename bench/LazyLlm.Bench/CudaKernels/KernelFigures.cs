using LazyLlm.Evaluation.Figures;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>The figures of a report: kernels with operations under their roofs, and those of bytes alone over their size.</summary>
internal static class KernelFigures
{
    /// <summary>Draws them; a figure without points is left out.</summary>
    public static IEnumerable<LineFigure> Draw(KernelReport report)
    {
        KernelRow[] timed = [.. report.Rows.Where(row => row.Us is > 0)];
        KernelRow[] computing = [.. timed.Where(row => row.Operations > 0 && row.Bytes > 0)];
        if (computing.Length > 0)
        {
            yield return Roofline(report, computing);
        }

        KernelRow[] moving = [.. timed.Where(row => row.Operations == 0 && row.Bytes > 0 && row.Group != CopyKernels.Group)];
        if (moving.Length > 0)
        {
            yield return Bandwidth(report, moving);
        }
    }

    private static LineFigure Roofline(KernelReport report, KernelRow[] rows)
    {
        var figure = new LineFigure("kernels-roofline", "Kernels under the roofs of copying and of the tensor cores", "Operations per byte", "TFLOP/s", logarithmic: true);
        double[] reach = [rows.Min(Intensity), rows.Max(Intensity)];
        if (report.CopyGbPerS > 0)
        {
            // TFLOP/s at one operation per byte.
            double slope = report.CopyGbPerS / 1e3;
            double knee = report.TensorTflops is double peak ? peak / slope : reach[1];
            double[] at = [reach[0], Math.Clamp(knee, reach[0], reach[1]), reach[1]];
            figure.AddReference("roof", at, [.. at.Select(x => Math.Min(x * slope, report.TensorTflops ?? double.PositiveInfinity))]);
        }

        foreach (IGrouping<string, KernelRow> kernel in rows.GroupBy(row => row.Kernel))
        {
            figure.AddLine(kernel.Key, [.. kernel.Select(Intensity)], [.. kernel.Select(row => row.Operations / row.Us!.Value / 1e6)], connected: false);
        }

        figure.Fit();
        return figure;

        static double Intensity(KernelRow row) => row.Operations / row.Bytes;
    }

    private static LineFigure Bandwidth(KernelReport report, KernelRow[] rows)
    {
        var figure = new LineFigure("kernels-bandwidth", "Kernels that only move bytes, against the copy", "MB read and written", "GB/s", logarithmic: true);
        if (report.CopyGbPerS > 0)
        {
            figure.AddReference("copy", [rows.Min(Megabytes), rows.Max(Megabytes)], [report.CopyGbPerS, report.CopyGbPerS]);
        }

        foreach (IGrouping<string, KernelRow> kernel in rows.GroupBy(row => row.Kernel))
        {
            KernelRow[] line = [.. kernel.OrderBy(Megabytes)];
            figure.AddLine(kernel.Key, [.. line.Select(Megabytes)], [.. line.Select(row => row.Bytes / row.Us!.Value / 1e3)]);
        }

        figure.Fit();
        return figure;

        static double Megabytes(KernelRow row) => row.Bytes / 1e6;
    }
}
