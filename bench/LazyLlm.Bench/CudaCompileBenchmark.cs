using System.Diagnostics;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench;

/// <summary><c>bench cuda-compile</c>: how long a model's kernels take to compile, with an empty cache and with a full one.</summary>
internal static class CudaCompileBenchmark
{
    /// <summary>Options: --shape NAME.</summary>
    public static int Run(string[] args)
    {
        Measure(args is ["--shape", string name] ? ModelShapes.Find(name) : ModelShapes.Llama2);
        return 0;
    }

    /// <summary>Prints both times.</summary>
    public static void Measure(ModelConfig config)
    {
        CudaDevice device = CudaDevice.Open();
        var shape = new DeviceShape(config, TensorType.BFloat16);
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lazyllm-bench-");
        try
        {
            foreach (string temperature in (string[])["cold", "warm"])
            {
                KernelCompiler compiler = KernelCompiler.Open(device.ComputeCapability, KernelCache.Open(folder.FullName), driverVersion: CudaDevice.CheckDriverVersion());
                long start = Stopwatch.GetTimestamp();
                compiler.CompileAll(CudaOperations.Programs(shape, device.ComputeCapability));
                Console.WriteLine($"compiling, {temperature}: {Stopwatch.GetElapsedTime(start).TotalSeconds:F3} s");
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
