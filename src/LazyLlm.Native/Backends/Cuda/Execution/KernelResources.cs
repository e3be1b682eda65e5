namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>What a compiled kernel uses of the machine.</summary>
/// <param name="Registers">Registers per thread.</param>
/// <param name="StaticSharedBytes">Bytes of static shared memory per block.</param>
/// <param name="LocalBytes">Bytes of local memory per thread: stack and spilled registers, 0 in a good kernel.</param>
/// <param name="MaxThreadsPerBlock">Threads that a block may have, by its registers and launch bounds.</param>
public readonly record struct KernelResources(int Registers, int StaticSharedBytes, int LocalBytes, int MaxThreadsPerBlock);
