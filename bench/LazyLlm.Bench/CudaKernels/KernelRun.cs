namespace LazyLlm.Bench.CudaKernels;

/// <summary>What is timed.</summary>
/// <param name="Launch">Enqueues the work.</param>
/// <param name="Prepare">Enqueues what has to come before each run and is not timed.</param>
/// <param name="Launches">How many times the work is enqueued by one <paramref name="Launch"/>.</param>
internal sealed record KernelRun(Action Launch, Action? Prepare = null, int Launches = 1);
