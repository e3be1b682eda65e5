using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>
/// The device that CUDA tests run on: the stand-in of tests/cuda-standin, or, with <c>LAZYLLM_TEST_DEVICE=gpu</c>, the
/// machine's GPU. <c>LAZYLLM_CUDA_DRIVER</c> names another stand-in; without any, one is built where there is a C++
/// compiler, and tests skip aloud where there is none.
/// </summary>
internal static unsafe class CudaTestDevice
{
    private const string DriverVariable = "LAZYLLM_CUDA_DRIVER";
    private const string NvrtcVariable = "LAZYLLM_NVRTC";

    // Threads of a block run in a random order, as none is promised: what depends on one comes out wrong.
    private const string ThreadOrder = "20240714";

    private static readonly Lazy<string?> Problem = new(Prepare);
    private static readonly Lazy<KernelCompiler> SharedCompiler = new(OpenCompiler);
    private static readonly Lazy<KernelLibrary> GpuLibrary = new(() => new KernelLibrary(CudaContext.Open(CudaDevice.Open()), Compiler));
    private static delegate* unmanaged[Cdecl]<byte*, byte*, int> s_set;
    private static delegate* unmanaged[Cdecl]<byte*, long> s_get;
    private static delegate* unmanaged[Cdecl]<void> s_reset;

    /// <summary>Whether tests run on a real GPU.</summary>
    public static bool IsGpu => Environment.GetEnvironmentVariable("LAZYLLM_TEST_DEVICE") == "gpu";

    /// <summary>One compiler for all tests, so that a kernel is compiled once.</summary>
    public static KernelCompiler Compiler => SharedCompiler.Value;

    /// <summary>
    /// On a GPU, kernels that are loaded once for all tests: loading takes longer than most tests, and under a sanitizer, which
    /// rewrites what is loaded, far longer. Null on the stand-in, where each test leaves nothing behind.
    /// </summary>
    public static KernelLibrary? SharedLibrary => IsGpu ? GpuLibrary.Value : null;

    /// <summary>Variables for a child process that uses the same driver and NVRTC.</summary>
    public static (string Name, string? Value)[] Variables =>
        [(DriverVariable, Environment.GetEnvironmentVariable(DriverVariable)), (NvrtcVariable, Environment.GetEnvironmentVariable(NvrtcVariable))];

    /// <summary>A compiler that keeps what it compiles in a folder of its own.</summary>
    public static KernelCompiler CompilerWithCache(string folder) =>
        KernelCompiler.Open(CudaDevice.Open().ComputeCapability, KernelCache.Open(folder), driverVersion: CudaDevice.CheckDriverVersion());

    /// <summary>Opens the device; skips the test aloud where there is none.</summary>
    /// <param name="synchronous">Whether launches are waited for; null for the environment's choice.</param>
    public static CudaContext Open(bool? synchronous = null)
    {
        Require();
        return CudaContext.Open(CudaDevice.Open(), synchronous);
    }

    /// <summary>Makes the driver findable; skips the test aloud where there is none.</summary>
    public static void Require() => Assert.SkipWhen(Problem.Value is not null, Problem.Value ?? string.Empty);

    /// <summary>Makes the driver findable and skips the test aloud unless it is the stand-in.</summary>
    public static void RequireStandIn()
    {
        Assert.SkipWhen(IsGpu, "Faults are injected into the stand-in driver, not into a GPU.");
        Require();
    }

    /// <summary>Sets an option of the stand-in.</summary>
    public static void Set(string name, string value)
    {
        fixed (byte* first = Utf8(name), second = Utf8(value))
        {
            Assert.Equal(0, s_set(first, second));
        }
    }

    /// <summary>Reads a counter of the stand-in.</summary>
    public static long Get(string name)
    {
        fixed (byte* first = Utf8(name))
        {
            return s_get(first);
        }
    }

    /// <summary>
    /// Makes the nth call of a kind fail, counted from now. Faults are the whole process's: the test must run alone, in
    /// the collection <see cref="EnvironmentTests"/>, and take them back with <see cref="Reset"/>.
    /// </summary>
    public static void Fail(string kind, int nth) => Set("fail." + kind, nth.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>Options, faults and errors as at the start.</summary>
    public static void Reset()
    {
        s_reset();
        ShuffleThreads();
    }

    private static byte[] Utf8(string text) => System.Text.Encoding.UTF8.GetBytes(text + '\0');

    private static KernelCompiler OpenCompiler()
    {
        Require();
        return KernelCompiler.Open(CudaDevice.Open().ComputeCapability, driverVersion: CudaDevice.CheckDriverVersion());
    }

    private static string? Prepare()
    {
        if (IsGpu)
        {
            return null;
        }

        if (Environment.GetEnvironmentVariable(DriverVariable) is not { Length: > 0 } driver)
        {
            if (StandinBuild.Ensure() is { } problem)
            {
                return problem;
            }

            driver = Path.Combine(StandinBuild.Folder, "libcuda-standin.so");
            Environment.SetEnvironmentVariable(DriverVariable, driver);
        }

        if (Environment.GetEnvironmentVariable(NvrtcVariable) is not { Length: > 0 })
        {
            Environment.SetEnvironmentVariable(NvrtcVariable, Path.Combine(Path.GetDirectoryName(driver)!, "libnvrtc-standin.so"));
        }

        if (Environment.GetEnvironmentVariable(KernelCache.FolderVariable) is not { Length: > 0 })
        {
            Environment.SetEnvironmentVariable(KernelCache.FolderVariable, Path.Combine(RepositoryFiles.Root, "artifacts", "kernel-cache-standin"));
        }

        nint library = NativeLibrary.Load(driver);
        s_set = (delegate* unmanaged[Cdecl]<byte*, byte*, int>)NativeLibrary.GetExport(library, "standin_set");
        s_get = (delegate* unmanaged[Cdecl]<byte*, long>)NativeLibrary.GetExport(library, "standin_get");
        s_reset = (delegate* unmanaged[Cdecl]<void>)NativeLibrary.GetExport(library, "standin_reset");
        ShuffleThreads();
        return null;
    }

    private static void ShuffleThreads()
    {
        // LAZYLLM_STANDIN may choose another order.
        if (Get("thread_order") == 0)
        {
            Set("thread_order", ThreadOrder);
        }
    }
}
