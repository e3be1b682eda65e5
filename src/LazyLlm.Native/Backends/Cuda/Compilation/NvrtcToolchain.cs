using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>NVIDIA's run-time compiler.</summary>
internal sealed unsafe partial class NvrtcToolchain : IKernelToolchain
{
    private const int OldestMajor = 12;

    private readonly HashSet<int> _architectures;

    private NvrtcToolchain(LoadedLibrary library, int major, int minor)
    {
        Path = library.Path;
        Major = major;
        Minor = minor;
        Check(Nvrtc.nvrtcGetNumSupportedArchs(out int count), nameof(Nvrtc.nvrtcGetNumSupportedArchs));
        int[] architectures = new int[count];
        fixed (int* start = architectures)
        {
            Check(Nvrtc.nvrtcGetSupportedArchs(start), nameof(Nvrtc.nvrtcGetSupportedArchs));
        }

        _architectures = [.. architectures];
        BuiltinsPath = FindBuiltins(library.Path, major, minor);
        if (BuiltinsPath is not null)
        {
            // NVRTC opens its built-ins by name; once open, they are found wherever they lie.
            NativeLibrary.TryLoad(BuiltinsPath, out _);
        }
    }

    /// <summary>The library's file.</summary>
    public string Path { get; }

    /// <summary>The built-ins library beside it; null if there is none.</summary>
    public string? BuiltinsPath { get; }

    /// <summary>Major version.</summary>
    public int Major { get; }

    /// <summary>Minor version.</summary>
    public int Minor { get; }

    /// <inheritdoc/>
    public string Signature => $"NVRTC {Major}.{Minor}";

    /// <inheritdoc/>
    public IReadOnlyList<string> FreshOptions => (Major, Minor).CompareTo((12, 9)) >= 0 ? ["--no-cache"] : [];

    /// <summary>Opens NVRTC and compares it with the driver.</summary>
    /// <param name="driverVersion">The driver's CUDA version, 1000 x major + 10 x minor.</param>
    /// <param name="path">File or folder of NVRTC; null for the usual places.</param>
    /// <exception cref="DeviceException">There is none, or its machine code would not run on this driver.</exception>
    public static NvrtcToolchain Open(int driverVersion, string? path = null)
    {
        LoadedLibrary library = CudaLibraries.LoadNvrtc(driverVersion, path);
        Check(Nvrtc.nvrtcVersion(out int major, out int minor), nameof(Nvrtc.nvrtcVersion));
        CheckVersions(library.Path, major, minor, driverVersion);
        return new NvrtcToolchain(library, major, minor);
    }

    /// <summary>Whether NVRTC's machine code runs on a driver: the same major version or an older one.</summary>
    /// <exception cref="DeviceException">It does not; the message names the part to change.</exception>
    internal static void CheckVersions(string path, int major, int minor, int driverVersion)
    {
        if (major > driverVersion / 1000)
        {
            throw new DeviceException(
                $"NVRTC {major}.{minor} ({path}) is newer than the driver, which supports CUDA {driverVersion / 1000}.{driverVersion % 1000 / 10}. "
                + $"Update the driver, or install NVRTC {driverVersion / 1000} and name it in {CudaLibraries.NvrtcVariable}.");
        }

        if (major < OldestMajor)
        {
            throw new DeviceException($"NVRTC {major}.{minor} ({path}) is too old: {OldestMajor}.0 or later is needed. Install a newer one and name it in {CudaLibraries.NvrtcVariable}.");
        }
    }

    /// <summary>Whether it knows an architecture, e.g. 90.</summary>
    public bool Supports(int architecture) => _architectures.Contains(architecture);

    /// <inheritdoc/>
    public (byte[] Image, string Log) Compile(
        string kernel,
        string path,
        string source,
        IReadOnlyList<KernelSourceFile> headers,
        IReadOnlyList<string> options,
        bool ptx)
    {
        using var text = new Utf8Strings();
        byte** headerTexts = text.Add(headers.Select(header => header.Text));
        byte** headerNames = text.Add(headers.Select(header => header.Name));
        Check(Nvrtc.nvrtcCreateProgram(out nint program, text.Add(source), text.Add(path), headers.Count, headerTexts, headerNames), nameof(Nvrtc.nvrtcCreateProgram), kernel);
        try
        {
            NvrtcResult result = Nvrtc.nvrtcCompileProgram(program, options.Count, text.Add(options));
            string log = ReadLog(program);
            if (result != NvrtcResult.Success)
            {
                throw Failure(result, kernel, log);
            }

            return (ptx ? ReadPtx(program, kernel) : ReadCubin(program, kernel), log);
        }
        finally
        {
            Nvrtc.nvrtcDestroyProgram(ref program);
        }
    }

    /// <summary>File and line of the first error in a log, e.g. <c>gemm.cu(17)</c>; null if it names none.</summary>
    internal static string? FirstError(string log)
    {
        Match match = ErrorLine().Match(log);
        return match.Success ? $"{System.IO.Path.GetFileName(match.Groups["file"].Value)}({match.Groups["line"].Value})" : null;
    }

    /// <summary>The built-ins library of NVRTC's own version beside it: libnvrtc-builtins.so.13.0*, nvrtc-builtins64_130.dll.</summary>
    internal static string? FindBuiltins(string path, int major, int minor)
    {
        string? folder = System.IO.Path.GetDirectoryName(path);
        string pattern = OperatingSystem.IsWindows() ? $"nvrtc-builtins64_{major}{minor}.dll" : $"libnvrtc-builtins.so.{major}.{minor}*";
        try
        {
            return string.IsNullOrEmpty(folder) ? null : Directory.EnumerateFiles(folder, pattern).Order(StringComparer.Ordinal).FirstOrDefault();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A folder may let its files be opened and not be listed; NVRTC then finds its built-ins or says that it does not.
            return null;
        }
    }

    private static DeviceException Failure(NvrtcResult result, string kernel, string log) => result switch
    {
        NvrtcResult.BuiltinOperationFailure => new DeviceException(
            $"NVRTC cannot open its built-ins library ({(OperatingSystem.IsWindows() ? "nvrtc-builtins64_*.dll" : "libnvrtc-builtins.so.*")}), which must lie beside NVRTC and be of the same version. Install NVRTC as a whole.{(log.Length == 0 ? string.Empty : Environment.NewLine + log)}"),
        NvrtcResult.OutOfMemory => new DeviceMemoryException($"compiling {kernel}", -1, -1, "Free host memory and try again."),
        _ => new KernelCompilationException(kernel, $"{Name(result)} ({(int)result}).", log, FirstError(log)),
    };

    private static byte[] ReadCubin(nint program, string kernel)
    {
        Check(Nvrtc.nvrtcGetCUBINSize(program, out nuint bytes), nameof(Nvrtc.nvrtcGetCUBINSize), kernel);
        byte[] image = new byte[bytes];
        fixed (byte* start = image)
        {
            Check(Nvrtc.nvrtcGetCUBIN(program, start), nameof(Nvrtc.nvrtcGetCUBIN), kernel);
        }

        return image;
    }

    private static byte[] ReadPtx(nint program, string kernel)
    {
        Check(Nvrtc.nvrtcGetPTXSize(program, out nuint bytes), nameof(Nvrtc.nvrtcGetPTXSize), kernel);
        byte[] image = new byte[bytes];
        fixed (byte* start = image)
        {
            Check(Nvrtc.nvrtcGetPTX(program, start), nameof(Nvrtc.nvrtcGetPTX), kernel);
        }

        return image;
    }

    private static string ReadLog(nint program)
    {
        if (Nvrtc.nvrtcGetProgramLogSize(program, out nuint bytes) != NvrtcResult.Success || bytes <= 1)
        {
            return string.Empty;
        }

        byte[] log = new byte[bytes];
        fixed (byte* start = log)
        {
            return Nvrtc.nvrtcGetProgramLog(program, start) == NvrtcResult.Success
                ? Encoding.UTF8.GetString(log).TrimEnd('\0', '\n', ' ')
                : string.Empty;
        }
    }

    private static void Check(NvrtcResult result, string api, string operation = "opening NVRTC")
    {
        if (result != NvrtcResult.Success)
        {
            throw new CudaException(api, (int)result, Name(result), "NVRTC's own code", operation);
        }
    }

    private static string Name(NvrtcResult result) => Marshal.PtrToStringUTF8((nint)Nvrtc.nvrtcGetErrorString(result)) ?? $"NVRTC error {(int)result}";

    // NVRTC writes file(line): error ..., other compilers file:line:column: error ...
    [GeneratedRegex(@"^(?<file>[^\n]+?)[(:](?<line>\d+)[^\n]*?\b(catastrophic |fatal )?error\b", RegexOptions.Multiline)]
    private static partial Regex ErrorLine();
}
