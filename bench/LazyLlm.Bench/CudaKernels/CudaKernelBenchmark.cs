using System.CommandLine;
using System.Globalization;
using LazyLlm.Evaluation.Figures;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// <c>bench cuda-kernels</c>: every kernel of the layer loop alone, on the shapes of a model, with the least time that its
/// bytes and operations take and the share of it that is reached. <c>bench kernel-report</c>: such a file again, with the
/// times of a peer beside it, and drawn.
/// </summary>
internal static class CudaKernelBenchmark
{
    private static readonly (string Name, Action<KernelScene> Measure)[] Groups =
    [
        (ProductKernels.Group, ProductKernels.Measure),
        (AttentionRuns.Group, AttentionRuns.Measure),
        (SelectionRuns.Group, SelectionRuns.Measure),
        (RowRuns.Group, RowRuns.Measure),
        (LaunchRuns.Group, LaunchRuns.Measure),
    ];

    private static readonly Option<string> Shape = new("--shape") { Description = $"Shape of the model: {string.Join(", ", ModelShapes.Names)}.", DefaultValueFactory = _ => "llama-2-7b" };
    private static readonly Option<string> Sizes = new("--sizes") { Description = "'full', 'quick' (a few of them) or 'tiny' (for a machine without a GPU).", DefaultValueFactory = _ => "full" };
    private static readonly Option<string[]> Only = new("--only") { Description = $"Groups to measure: {string.Join(", ", Groups.Select(group => group.Name))}.", AllowMultipleArgumentsPerToken = true };
    private static readonly Option<string?> Json = new("--json") { Description = "Write the figures to a file." };
    private static readonly Option<string?> Peers = new("--peers") { Description = "File of bench/gpu/peers.py, whose times stand beside ours." };
    private static readonly Option<string?> Plot = new("--plot") { Description = "Folder for the figures as PNG and SVG." };
    private static readonly Argument<string> Report = new("file") { Description = "File that cuda-kernels --json wrote." };

    /// <summary>Measures.</summary>
    /// <returns>1 if a kernel failed.</returns>
    public static int Run(string[] args)
    {
        var command = new RootCommand("Times every kernel of the layer loop on a GPU.") { Shape, Sizes, Only, Json };
        command.SetAction(arguments => Measure(
            arguments.GetValue(Shape)!, KernelSizes.Find(arguments.GetValue(Sizes)!), arguments.GetValue(Only) ?? [], arguments.GetValue(Json)));
        return Invoke(command, args);
    }

    /// <summary>Shows a file of <see cref="Run"/>.</summary>
    public static int RunReport(string[] args)
    {
        var command = new RootCommand("Shows a file of cuda-kernels, with a peer's times, and draws it.") { Report, Peers, Plot };
        command.SetAction(arguments => Show(arguments.GetValue(Report)!, arguments.GetValue(Peers), arguments.GetValue(Plot)));
        return Invoke(command, args);
    }

    private static int Invoke(RootCommand command, string[] args)
    {
        try
        {
            return command.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (Exception e) when (e is LazyLlmException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"bench: {e.Message.ReplaceLineEndings(" ")}");
            return 2;
        }
    }

    private static int Measure(string shapeName, KernelSizes sizes, string[] only, string? json)
    {
        if (only.Except(Groups.Select(group => group.Name)).FirstOrDefault() is string unknown)
        {
            throw new ArgumentException($"--only: found '{unknown}', expected {string.Join(", ", Groups.Select(group => group.Name))}.");
        }

        ModelConfig config = ModelShapes.Find(shapeName);
        using var scene = new KernelScene(config, sizes) { Measured = row => Console.WriteLine(KernelTable.Of(row)) };
        Console.WriteLine($"{scene.Context.Device.Name}, {scene.Context.Device.ComputeCapability}, {scene.Context.Device.MultiprocessorCount} multiprocessors; shape {shapeName}, bfloat16");
        Console.WriteLine(KernelTable.Header);
        IEnumerable<(string Name, Action<KernelScene> Measure)> chosen = Groups.Where(group => only.Length == 0 || only.Contains(group.Name));
        bool isAlive = chosen.Prepend((CopyKernels.Group, CopyKernels.Measure)).All(group => scene.Run(group.Item1, group.Item2));
        KernelReport report = ReportOf(scene, shapeName);
        if (json is not null)
        {
            report.Write(json);
        }

        Summarise(report);
        if (!isAlive)
        {
            Console.Error.WriteLine("bench: the device is lost; what comes after the last row was not measured.");
        }

        return isAlive && report.Rows.All(row => row.Error is null) ? 0 : 1;
    }

    private static int Show(string path, string? peers, string? plots)
    {
        KernelReport report = KernelReport.Read(path);
        report = peers is null ? report : report.WithPeers(peers);
        Console.WriteLine($"{report.Device}, {report.Architecture}; shape {report.Shape}, bfloat16");
        Console.WriteLine();
        Console.WriteLine(KernelTable.Header);
        foreach (KernelRow row in report.Rows)
        {
            Console.WriteLine(KernelTable.Of(row));
        }

        Summarise(report);
        if (plots is not null)
        {
            Directory.CreateDirectory(plots);
            foreach (LineFigure figure in KernelFigures.Draw(report))
            {
                using (figure)
                {
                    figure.Save(plots);
                }
            }
        }

        return 0;
    }

    private static KernelReport ReportOf(KernelScene scene, string shapeName) => new()
    {
        Device = scene.Context.Device.Name,
        Architecture = scene.Context.Device.ComputeCapability.ToString(),
        Shape = shapeName,
        Hidden = scene.Shape.Hidden,
        Heads = scene.Shape.Config.HeadCount,
        KeyValueHeads = scene.Shape.Config.KeyValueHeadCount,
        HeadSize = scene.Shape.Config.HeadSize,
        Vocabulary = scene.Shape.Config.VocabularySize,
        CopyGbPerS = scene.CopyRate / 1e9,
        TensorTflops = scene.TensorOperations / 1e12,
        Repetitions = scene.Sizes.Repetitions,
        Rows = scene.Rows,
    };

    private static void Summarise(KernelReport report)
    {
        Console.WriteLine();
        string tensor = report.TensorTflops is double peak ? string.Create(CultureInfo.InvariantCulture, $" and {peak:0} TFLOP/s of the tensor cores") : "";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Floor: {report.CopyGbPerS:0.#} GB/s of the copy{tensor}, whichever takes longer. Medians of {report.Repetitions} runs, the level-2 cache overwritten before each."));
        int failed = report.Rows.Count(row => row.Error is not null);
        if (failed > 0)
        {
            Console.WriteLine($"{failed} of {report.Rows.Count} failed.");
        }
    }
}
