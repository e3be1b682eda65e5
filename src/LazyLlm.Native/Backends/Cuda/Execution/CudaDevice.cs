using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>A GPU that the driver sees, and what its launches may use.</summary>
internal sealed record CudaDevice
{
    private CudaDevice(int ordinal, int handle)
    {
        Ordinal = ordinal;
        Handle = handle;
        Name = ReadName(handle);
        ComputeCapability = new(Read(CuDeviceAttribute.ComputeCapabilityMajor), Read(CuDeviceAttribute.ComputeCapabilityMinor));
        MultiprocessorCount = Read(CuDeviceAttribute.MultiprocessorCount);
        MaxThreadsPerBlock = Read(CuDeviceAttribute.MaxThreadsPerBlock);
        SharedMemoryPerBlock = Read(CuDeviceAttribute.MaxSharedMemoryPerBlockOptIn);
        L2CacheBytes = Read(CuDeviceAttribute.L2CacheSize);
        SupportsVirtualMemory = Read(CuDeviceAttribute.VirtualMemoryManagementSupported) != 0;
        CudaError.Check(CudaDriver.cuDeviceTotalMem_v2(out nuint total, handle));
        TotalMemory = (long)total;
    }

    /// <summary>Its number among the visible devices, from 0.</summary>
    public int Ordinal { get; }

    /// <summary>The driver's handle (<c>CUdevice</c>).</summary>
    public int Handle { get; }

    /// <summary>Its product name.</summary>
    public string Name { get; }

    /// <summary>Its architecture.</summary>
    public ComputeCapability ComputeCapability { get; }

    /// <summary>Streaming multiprocessors.</summary>
    public int MultiprocessorCount { get; }

    /// <summary>Threads that a block may have.</summary>
    public int MaxThreadsPerBlock { get; }

    /// <summary>Bytes of shared memory that a block may have, static and dynamic together, when it opts in.</summary>
    public int SharedMemoryPerBlock { get; }

    /// <summary>Bytes of the second-level cache.</summary>
    public int L2CacheBytes { get; }

    /// <summary>Whether addresses can be reserved apart from memory.</summary>
    public bool SupportsVirtualMemory { get; }

    /// <summary>Bytes of device memory, used or free.</summary>
    public long TotalMemory { get; }

    /// <summary>Whether it is a slice of a GPU (MIG), with part of its multiprocessors and memory.</summary>
    public bool IsSlice => Name.Contains(" MIG ", StringComparison.Ordinal);

    /// <summary>The driver's CUDA version, 1000 x major + 10 x minor.</summary>
    /// <exception cref="DeviceException">The driver is older than the engine needs.</exception>
    public static int CheckDriverVersion()
    {
        CudaError.Check(CudaDriver.cuDriverGetVersion(out int version));
        return version >= CudaDriver.MinimumVersion
            ? version
            : throw new DeviceException($"The driver supports CUDA {version / 1000}.{version % 1000 / 10}, but CUDA {CudaDriver.MinimumVersion / 1000}.0 is needed (driver release 525 or later). Update the driver.");
    }

    /// <summary>Opens the driver and a device.</summary>
    /// <param name="ordinal">Its number among the visible devices, from 0.</param>
    /// <param name="driverPath">File or folder of the driver; null for the usual places.</param>
    /// <exception cref="DeviceException">There is no driver, it is too old, it sees no such device, or the device is too old.</exception>
    public static CudaDevice Open(int ordinal = 0, string? driverPath = null)
    {
        CudaLibraries.LoadDriver(driverPath);
        int version = CheckDriverVersion();
        CudaError.Check(CudaDriver.cuInit(0));
        CudaError.Check(CudaDriver.cuDeviceGetCount(out int count));
        if ((uint)ordinal >= (uint)count)
        {
            string visible = Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { } list ? $" (CUDA_VISIBLE_DEVICES is \"{list}\")" : string.Empty;
            throw new DeviceException($"There is no CUDA device {ordinal}: the driver (CUDA {version / 1000}.{version % 1000 / 10}) sees {count}{visible}.");
        }

        CudaDevice device = At(ordinal);
        return device.ComputeCapability >= ComputeCapability.Minimum
            ? device
            : throw new DeviceException($"{device.Name} has compute capability {device.ComputeCapability}, but the kernels need {ComputeCapability.Minimum} or later. Run with the device cpu.");
    }

    /// <summary>Reads a device, whatever its architecture. The driver is initialised.</summary>
    /// <param name="ordinal">Its number among the visible devices, from 0.</param>
    public static CudaDevice At(int ordinal)
    {
        CudaError.Check(CudaDriver.cuDeviceGet(out int handle, ordinal));
        return new CudaDevice(ordinal, handle);
    }

    private static unsafe string ReadName(int handle)
    {
        Span<byte> name = stackalloc byte[256];
        fixed (byte* start = name)
        {
            CudaError.Check(CudaDriver.cuDeviceGetName(start, name.Length, handle));
        }

        int end = name.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? name : name[..end]);
    }

    private int Read(CuDeviceAttribute attribute)
    {
        CudaError.Check(CudaDriver.cuDeviceGetAttribute(out int value, attribute, Handle));
        return value;
    }
}
