using BenchmarkDotNet.Running;
using LazyLlm.Bench;

return args switch
{
    ["cpu", .. string[] rest] => CpuBenchmark.Run(rest),
    ["kernels", .. string[] rest] => Kernels(rest),
    ["cuda-kernels", .. string[] rest] => CudaKernelBenchmark.Run(rest),
    ["cuda-model", .. string[] rest] => CudaModelBenchmark.Run(rest),
    _ => Usage(),
};

static int Kernels(string[] arguments)
{
    BenchmarkRunner.Run<CpuKernelBenchmarks>(args: arguments);
    return 0;
}

static int Usage()
{
    Console.Error.WriteLine("usage: bench cpu [--model DIR] [--length N] [--rounds N] [--threads N] [--prune SCHEDULE] [--json FILE]");
    Console.Error.WriteLine("       bench kernels [options of BenchmarkDotNet]");
    Console.Error.WriteLine("       bench cuda-kernels [ROWS...]");
    Console.Error.WriteLine("       bench cuda-model [--length N] [--decode N] [--layers N] [--rounds N] [--check] [--schedules SCHEDULE...]");
    return 2;
}
