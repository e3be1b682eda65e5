using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Diagnosis;

/// <summary>A GPU as the driver shows it.</summary>
/// <param name="Ordinal">Its number among the visible devices, from 0.</param>
/// <param name="Name">Its product name.</param>
/// <param name="ComputeCapability">Its architecture.</param>
/// <param name="MultiprocessorCount">Streaming multiprocessors.</param>
/// <param name="TotalBytes">Its memory.</param>
/// <param name="FreeBytes">What of it is free; null if the device could not be opened.</param>
public sealed record GpuDescription(int Ordinal, string Name, ComputeCapability ComputeCapability, int MultiprocessorCount, long TotalBytes, long? FreeBytes);
