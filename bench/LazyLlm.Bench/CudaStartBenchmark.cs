using System.Diagnostics;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench;

/// <summary>
/// <c>bench cuda-start</c>: where the time from a program's start to its first token goes, in the order in which an engine opens
/// what it needs. The kernels are compiled before, as on every start but the first; the file should be in memory.
/// </summary>
internal static class CudaStartBenchmark
{
    /// <summary>Options: --model DIR.</summary>
    public static int Run(string[] args)
    {
        if (args is not ["--model", string path])
        {
            Console.Error.WriteLine("usage: bench cuda-start --model DIR");
            return 2;
        }

        double sinceStart = (DateTime.Now - Process.GetCurrentProcess().StartTime).TotalSeconds;
        long began = Stopwatch.GetTimestamp();
        Console.WriteLine($"{sinceStart,8:F3} s  from the process's start to here");
        CudaDevice device = Timed("the driver", () => CudaDevice.Open());
        using (CudaContext context = Timed("a context", () => CudaContext.Open(device)))
        {
            Timed("the kernels, from the cache", () =>
            {
                using ModelFolder folder = ModelFolder.Open(path);
                using var library = new KernelLibrary(context, KernelCompiler.Open(device.ComputeCapability, driverVersion: CudaDevice.CheckDriverVersion()));
                library.Prepare(CudaOperations.Programs(new DeviceShape(folder.Config, CudaOperations.StorageOf(folder.Config)), device.ComputeCapability));
                return 0;
            });
            Timed("48 MiB of pinned memory", () =>
            {
                using var pinned = new PinnedBuffer(context, 48 << 20, "a benchmark's memory");
                return 0;
            });
            Timed("the engine, all of it on the context that stands", () =>
            {
                double first = 0, last = 0;
                long start = Stopwatch.GetTimestamp();
                var progress = new FirstAndLast(() =>
                {
                    last = Stopwatch.GetElapsedTime(start).TotalSeconds;
                    first = first == 0 ? last : first;
                });
                using LlamaEngine engine = LlamaEngine.LoadAsync(path, new EngineOptions { Device = "cuda" }, progress).GetAwaiter().GetResult();
                Console.WriteLine($"{first,8:F3} s    to the first weights read, {last:F3} s to the last that arrived, {engine.WeightBytes / Math.Max(last - first, 1e-9) / 1e9:F1} GB/s");
                long loaded = Stopwatch.GetTimestamp();
                using Session session = engine.CreateSession();
                session.Step([1, 17, 9]);
                Console.WriteLine($"{Stopwatch.GetElapsedTime(loaded).TotalSeconds,8:F3} s    of it, after loading, a first token");
                return 0;
            });
        }

        Console.WriteLine($"{sinceStart + Stopwatch.GetElapsedTime(began).TotalSeconds,8:F3} s  in all");
        return 0;
    }

    private static T Timed<T>(string what, Func<T> run)
    {
        long start = Stopwatch.GetTimestamp();
        T result = run();
        Console.WriteLine($"{Stopwatch.GetElapsedTime(start).TotalSeconds,8:F3} s  {what}");
        return result;
    }

    private sealed class FirstAndLast(Action told) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => told();
    }
}
