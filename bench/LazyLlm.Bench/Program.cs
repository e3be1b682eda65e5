using BenchmarkDotNet.Running;
using LazyLlm.Bench;
using LazyLlm.Bench.CudaKernels;
using LazyLlm.Bench.Host;

return args switch
{
    ["cpu", .. string[] rest] => CpuBenchmark.Run(rest),
    ["scheduler", .. string[] rest] => SchedulerBenchmark.Run(rest),
    ["server", .. string[] rest] => await ServerBenchmark.RunAsync(rest),
    ["kernels", .. string[] rest] => Kernels(rest),
    ["host", .. string[] rest] => HostBenchmark.Run(rest),
    ["cuda-kernels", .. string[] rest] => CudaKernelBenchmark.Run(rest),
    ["kernel-report", .. string[] rest] => CudaKernelBenchmark.RunReport(rest),
    ["cuda-compile", .. string[] rest] => CudaCompileBenchmark.Run(rest),
    ["cuda-start", .. string[] rest] => CudaStartBenchmark.Run(rest),
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
    Console.Error.WriteLine("       bench scheduler [--model DIR] [--layers N] [--device NAME] [--threads N] [--length N] [--tokens N] [--prune SCHEDULE] [--rounds N] [--json FILE]");
    Console.Error.WriteLine("       bench server [--model DIR] [--device NAME] [--threads N] [--length N] [--tokens N] [--prune SCHEDULE] [--rounds N] [--json FILE]");
    Console.Error.WriteLine("       bench kernels [options of BenchmarkDotNet]");
    Console.Error.WriteLine("       bench host [options of BenchmarkDotNet]");
    Console.Error.WriteLine("       bench cuda-kernels [--shape NAME] [--sizes full|quick|tiny] [--only GROUP...] [--json FILE]");
    Console.Error.WriteLine("       bench kernel-report FILE [--peers FILE] [--plot FOLDER]");
    Console.Error.WriteLine("       bench cuda-compile [--shape NAME]");
    Console.Error.WriteLine("       bench cuda-start --model DIR");
    Console.Error.WriteLine("       bench cuda-model [--length N] [--decode N] [--layers N] [--rounds N] [--check] [--schedules SCHEDULE...]");
    return 2;
}
