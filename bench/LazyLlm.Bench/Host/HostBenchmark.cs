using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;

namespace LazyLlm.Bench.Host;

/// <summary>
/// <c>bench host</c>: what the host's side of the engine costs, under BenchmarkDotNet, each beside what it is held against.
/// It runs in this process, so that it needs no SDK, and fails where something allocates that must not.
/// </summary>
internal static class HostBenchmark
{
    /// <summary>What runs for every token or every kernel: it may allocate nothing.</summary>
    private static readonly Type[] FreeOfAllocations = [typeof(LaunchBenchmarks), typeof(SelectionBenchmarks), typeof(SamplingBenchmarks)];

    // In fewer, what the runtime allocates for itself shows.
    private const int LeastOperations = 1000;

    /// <summary>Runs all, or what BenchmarkDotNet's options choose (<c>--filter *Launch*</c>, <c>--job dry</c>, <c>--artifacts FOLDER</c>).</summary>
    /// <returns>1 if a benchmark failed, or allocated what it must not.</returns>
    public static int Run(string[] args)
    {
        List<Type> types = [typeof(SafetensorsBenchmarks), typeof(TokenizerBenchmarks), typeof(SelectionBenchmarks), typeof(SamplingBenchmarks)];
        if (HasDevice())
        {
            types.Insert(0, typeof(LaunchBenchmarks));
        }

        // Options that are given again count: those named here stand first and are left out where they are given.
        string[] standard = [.. Unless("--filter", "*"), .. Unless("--job", "short"), "--inProcess", "--memory"];
        IConfig config = DefaultConfig.Instance.HideColumns(Column.Job, Column.Toolchain, Column.IterationCount, Column.LaunchCount, Column.WarmupCount, Column.Gen0, Column.Gen1, Column.Gen2);
        Summary[] summaries = [.. BenchmarkSwitcher.FromTypes([.. types]).Run([.. standard, .. args], config)];
        int failed = 0;
        foreach (BenchmarkReport report in summaries.SelectMany(summary => summary.Reports))
        {
            BenchmarkCase benchmark = report.BenchmarkCase;
            bool isFree = FreeOfAllocations.Contains(benchmark.Descriptor.Type) && !benchmark.Descriptor.Baseline
                && report.GcStats.TotalOperations >= LeastOperations;
            long? bytes = report.GcStats.GetBytesAllocatedPerOperation(benchmark);
            if (!report.Success || (isFree && bytes > 0))
            {
                failed++;
                Console.Error.WriteLine(report.Success ? $"{benchmark.DisplayInfo}: allocated {bytes} bytes each time, expected none." : $"{benchmark.DisplayInfo}: failed.");
            }
        }

        return failed == 0 && summaries.Length > 0 ? 0 : 1;

        string[] Unless(string name, string value) => args.Contains(name) ? [] : [name, value];
    }

    private static bool HasDevice()
    {
        try
        {
            CudaDevice.Open();
            return true;
        }
        catch (DeviceException e)
        {
            Console.Error.WriteLine($"The launch benchmarks are left out: {e.Message.Split('\n')[0]}");
            return false;
        }
    }
}
