using System.Reflection;
using System.Runtime.InteropServices;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Interop.Cuda;

/// <summary>
/// Chooses and opens the driver and NVRTC, once per process: the bindings of <see cref="CudaDriver"/> and
/// <see cref="Nvrtc"/> are bound to these files. A path given by the caller comes first, then the environment variables
/// <c>LAZYLLM_CUDA_DRIVER</c> and <c>LAZYLLM_NVRTC</c>, then the usual names and folders (<see cref="LibrarySearch"/>).
/// A path that is given is the only one tried. A failed load may be tried again.
/// </summary>
internal static class CudaLibraries
{
    /// <summary>Names the driver's file or folder.</summary>
    internal const string DriverVariable = "LAZYLLM_CUDA_DRIVER";

    /// <summary>Names NVRTC's file or folder.</summary>
    internal const string NvrtcVariable = "LAZYLLM_NVRTC";

    private static readonly Lock Gate = new();
    private static LoadedLibrary? _driver;
    private static LoadedLibrary? _nvrtc;

    static CudaLibraries() => NativeLibrary.SetDllImportResolver(typeof(CudaLibraries).Assembly, Resolve);

    /// <summary>Whether a driver was found.</summary>
    internal static bool HasDriver => Volatile.Read(ref _driver) is not null;

    /// <summary>Opens the driver, unless it is open.</summary>
    /// <param name="path">File or folder to use; null for the environment variable or the search.</param>
    /// <exception cref="DeviceException">It could not be found; the message lists every place tried.</exception>
    /// <exception cref="InvalidOptionException">Another driver is in use already.</exception>
    internal static LoadedLibrary LoadDriver(string? path = null) => Load(
        ref _driver,
        "The CUDA driver",
        path,
        DriverVariable,
        OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"],
        LibrarySearch.Driver,
        nameof(CudaDriver.cuDriverGetVersion),
        "Install NVIDIA's driver (the CUDA toolkit is not needed), name its file in " + DriverVariable + ", or run with the device cpu.");

    /// <summary>Opens NVRTC, unless it is open.</summary>
    /// <param name="driverVersion">The driver's CUDA version (1000 x major + 10 x minor); an NVRTC of that generation is preferred.</param>
    /// <param name="path">File or folder to use; null for the environment variable or the search.</param>
    /// <exception cref="DeviceException">It could not be found; the message lists every place tried.</exception>
    /// <exception cref="InvalidOptionException">Another NVRTC is in use already.</exception>
    internal static LoadedLibrary LoadNvrtc(int driverVersion, string? path = null)
    {
        int major = driverVersion / 1000;
        return Load(
            ref _nvrtc,
            "NVRTC, CUDA's run-time compiler,",
            path,
            NvrtcVariable,
            LibrarySearch.NvrtcNames(major),
            () => LibrarySearch.Nvrtc(major),
            nameof(Nvrtc.nvrtcVersion),
            $"Install it without a toolkit, for example with \"pip install nvidia-cuda-nvrtc{(major >= 13 ? string.Empty : "-cu12")}\", or name its file in {NvrtcVariable}.");
    }

    private static LoadedLibrary Load(
        ref LoadedLibrary? loaded,
        string what,
        string? path,
        string variable,
        string[] names,
        Func<IEnumerable<string>> search,
        string function,
        string advice)
    {
        string? chosen = path ?? (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null);
        lock (Gate)
        {
            if (loaded is null)
            {
                loaded = LoadedLibrary.Open(what, chosen is null ? search() : Expand(chosen, names), function, advice);
            }
            else if (path is not null && !Expand(path, names).Contains(loaded.Path))
            {
                throw new InvalidOptionException(variable, $"{what} of this process is {loaded.Path} already; {path} cannot be used beside it. Choose it before the first use.");
            }

            return loaded;
        }
    }

    // A folder stands for the library's usual names in it.
    private static IEnumerable<string> Expand(string path, string[] names)
    {
        if (Directory.Exists(path))
        {
            return names.Select(name => Path.GetFullPath(Path.Combine(path, name)));
        }

        return [Path.GetFileName(path) == path ? path : Path.GetFullPath(path)];
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) => name switch
    {
        CudaDriver.Library => LoadDriver().Handle,
        Nvrtc.Library => _nvrtc?.Handle ?? throw new InvalidOperationException("NVRTC is used before it was loaded."),
        _ => 0,
    };
}
