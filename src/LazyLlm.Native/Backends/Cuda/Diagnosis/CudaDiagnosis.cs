using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Diagnosis;

/// <summary>What this machine offers to the CUDA backend, and what keeps it from running.</summary>
public sealed record CudaDiagnosis
{
    private readonly List<string> _problems = [];
    private readonly List<string> _notes = [];
    private readonly List<GpuDescription> _gpus = [];

    private CudaDiagnosis()
    {
    }

    /// <summary>The driver's file; null if none was found.</summary>
    public string? DriverPath { get; private set; }

    /// <summary>The CUDA version that the driver supports, e.g. 13.0; null if there is no driver.</summary>
    public Version? DriverVersion { get; private set; }

    /// <summary>NVRTC's file; null if none was found.</summary>
    public string? NvrtcPath { get; private set; }

    /// <summary>NVRTC's version; null if there is none.</summary>
    public Version? NvrtcVersion { get; private set; }

    /// <summary>NVRTC's built-ins library beside it; null if it lies elsewhere or is absent.</summary>
    public string? NvrtcBuiltinsPath { get; private set; }

    /// <summary>The GPUs, in the driver's order.</summary>
    public IReadOnlyList<GpuDescription> Gpus => _gpus;

    /// <summary>The kernel cache's folder; null if kernels are not kept on disk.</summary>
    public string? CacheFolder { get; private set; }

    /// <summary>Entries in the kernel cache.</summary>
    public int CacheEntries { get; private set; }

    /// <summary>Bytes of all entries.</summary>
    public long CacheBytes { get; private set; }

    /// <summary>What keeps the CUDA backend from running, in plain words.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>What makes it slower or smaller than it might be.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Whether the device <c>cuda</c> will work.</summary>
    public bool IsUsable => _problems.Count == 0;

    /// <summary>Looks at the driver, the GPUs, NVRTC (with a trial compilation) and the kernel cache. Never throws for what it finds.</summary>
    /// <param name="driverPath">File or folder of the driver; null for the usual places.</param>
    /// <param name="nvrtcPath">File or folder of NVRTC; null for the usual places.</param>
    /// <param name="cacheFolder">The kernel cache; null for the usual folder.</param>
    public static CudaDiagnosis Run(string? driverPath = null, string? nvrtcPath = null, string? cacheFolder = null)
    {
        var diagnosis = new CudaDiagnosis();
        int? driverVersion = diagnosis.Attempt(() => diagnosis.ReadDriver(driverPath));
        if (driverVersion is not null)
        {
            diagnosis.Attempt(diagnosis.ReadGpus);
        }

        diagnosis.Attempt(() => diagnosis.ReadNvrtc(driverVersion, nvrtcPath));
        diagnosis.ReadCache(cacheFolder);
        return diagnosis;
    }

    private static Version ToVersion(int number) => new(number / 1000, number % 1000 / 10);

    private int? ReadDriver(string? path)
    {
        DriverPath = CudaLibraries.LoadDriver(path).Path;
        CudaError.Check(CudaDriver.cuDriverGetVersion(out int version));
        DriverVersion = ToVersion(version);
        return CudaDevice.CheckDriverVersion();
    }

    private int? ReadGpus()
    {
        CuResult result = CudaDriver.cuInit(0);
        int count = 0;
        if (result == CuResult.Success)
        {
            result = CudaDriver.cuDeviceGetCount(out count);
        }

        if (result == CuResult.NoDevice || (result == CuResult.Success && count == 0))
        {
            _problems.Add(Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { } visible
                ? $"The driver works, but CUDA_VISIBLE_DEVICES is \"{visible}\", which leaves no GPU visible. Unset it, or set it to a number from nvidia-smi."
                : "The driver is there, but it sees no GPU. Check nvidia-smi, and that the container or virtual machine was given the GPU.");
            return null;
        }

        CudaError.Check(result, nameof(CudaDriver.cuInit));
        for (int ordinal = 0; ordinal < count; ordinal++)
        {
            CudaDevice device = CudaDevice.At(ordinal);
            long? free = Attempt(() => FreeBytes(device));
            _gpus.Add(new GpuDescription(ordinal, device.Name, device.ComputeCapability, device.MultiprocessorCount, device.TotalMemory, free));
            Judge(device, free);
        }

        if (_gpus.All(gpu => gpu.ComputeCapability < ComputeCapability.Minimum))
        {
            _problems.Add($"No GPU has compute capability {ComputeCapability.Minimum} or later, which the kernels need.");
        }

        return count;
    }

    private void Judge(CudaDevice device, long? free)
    {
        if (device.ComputeCapability < ComputeCapability.Minimum)
        {
            _notes.Add($"GPU {device.Ordinal} ({device.Name}) has compute capability {device.ComputeCapability}; the kernels need {ComputeCapability.Minimum} or later.");
        }

        if (device.IsSlice)
        {
            _notes.Add($"GPU {device.Ordinal} ({device.Name}) is a slice of a GPU (MIG), with {device.MultiprocessorCount} multiprocessors and {device.TotalMemory >> 20:N0} MiB.");
        }

        if (free < device.TotalMemory / 10)
        {
            _notes.Add($"GPU {device.Ordinal} ({device.Name}) has {free >> 20:N0} MiB of {device.TotalMemory >> 20:N0} MiB free; other processes hold the rest.");
        }
    }

    private static long? FreeBytes(CudaDevice device)
    {
        using CudaContext context = CudaContext.Open(device);
        return context.Memory.FreeBytes();
    }

    private int? ReadNvrtc(int? driverVersion, string? path)
    {
        NvrtcPath = CudaLibraries.LoadNvrtc(driverVersion ?? int.MaxValue, path).Path;
        Nvrtc.nvrtcVersion(out int major, out int minor);
        NvrtcVersion = new Version(major, minor);
        NvrtcToolchain toolchain = NvrtcToolchain.Open(driverVersion ?? int.MaxValue, path);
        NvrtcBuiltinsPath = toolchain.BuiltinsPath;

        ComputeCapability capability = _gpus.Select(gpu => gpu.ComputeCapability).Where(c => c >= ComputeCapability.Minimum).DefaultIfEmpty(ComputeCapability.Minimum).First();
        int architecture = (capability.Major * 10) + capability.Minor;
        if (!toolchain.Supports(architecture))
        {
            _problems.Add($"{toolchain.Signature} ({toolchain.Path}) does not know compute capability {capability}. Install a newer NVRTC (and driver).");
            return null;
        }

        // Only a compilation tells whether the built-ins are found.
        const string Trial = "extern \"C\" __global__ void lazyllm_trial(int *p) { *p = 1; }";
        toolchain.Compile("a trial kernel", "trial.cu", Trial, [], [$"--gpu-architecture=sm_{architecture}"], ptx: false);
        return major;
    }

    private void ReadCache(string? folder)
    {
        KernelCache cache = KernelCache.Open(folder, _notes.Add);
        IReadOnlyList<KernelCacheEntry> entries = cache.List();
        CacheFolder = cache.Folder;
        CacheEntries = entries.Count;
        CacheBytes = entries.Sum(entry => entry.Bytes);
    }

    private T? Attempt<T>(Func<T?> read)
    {
        try
        {
            return read();
        }
        catch (LazyLlmException e)
        {
            _problems.Add(e.Message);
        }
        catch (EntryPointNotFoundException e)
        {
            _problems.Add($"A library lacks a function that is needed; it is too old, or not NVIDIA's. {e.Message}");
        }

        return default;
    }
}
