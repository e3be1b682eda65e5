namespace LazyLlm.Native.Interop.Cuda;

/// <summary>The device attributes that the engine reads (<c>CUdevice_attribute</c>).</summary>
internal enum CuDeviceAttribute
{
    MaxThreadsPerBlock = 1,
    MaxSharedMemoryPerBlock = 8,
    WarpSize = 10,
    ClockRate = 13,
    MultiprocessorCount = 16,
    MemoryClockRate = 36,
    GlobalMemoryBusWidth = 37,
    L2CacheSize = 38,
    MaxThreadsPerMultiprocessor = 39,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
    MaxSharedMemoryPerMultiprocessor = 81,
    MaxSharedMemoryPerBlockOptIn = 97,
    VirtualMemoryManagementSupported = 102,
}

/// <summary>The function attributes that the engine reads or sets (<c>CUfunction_attribute</c>).</summary>
internal enum CuFunctionAttribute
{
    MaxThreadsPerBlock = 0,
    SharedSizeBytes = 1,
    ConstSizeBytes = 2,
    LocalSizeBytes = 3,
    RegisterCount = 4,
    MaxDynamicSharedSizeBytes = 8,
    NonPortableClusterSizeAllowed = 14,
}
