using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>A context with small kernels, compiled once per test run.</summary>
internal sealed class CudaTestKernels : IDisposable
{
    public static readonly KernelProgram Program = new("probe.cu");

    private static readonly DirectoryInfo CacheFolder = CreateCacheFolder();

    private static readonly string[] Headers = ["types.cuh"];

    private static readonly KernelSourceFile Probe = new(
        "probe.cu",
        """
        #include "types.cuh"

        struct AddArgs
        {
            float *sum;
            const float *left;
            float right;
            i32 count;
        };

        LAZYLLM_KERNEL(lazyllm_add, AddArgs, 256)
        {
            i32 i = (i32)(blockIdx.x * blockDim.x + threadIdx.x);
            if (i < args.count)
                args.sum[i] = args.left[i] + args.right;
        }

        struct ReverseArgs
        {
            i32 *data;
            i32 count;
        };

        // Through dynamic shared memory, one block.
        LAZYLLM_KERNEL(lazyllm_reverse, ReverseArgs, 256)
        {
            LAZYLLM_SHARED_BYTES(shared);
            i32 *copy = reinterpret_cast<i32 *>(shared);
            for (i32 i = (i32)threadIdx.x; i < args.count; i += (i32)blockDim.x)
                copy[i] = args.data[i];
            __syncthreads();
            for (i32 i = (i32)threadIdx.x; i < args.count; i += (i32)blockDim.x)
                args.data[i] = copy[args.count - 1 - i];
        }
        """);

    public CudaTestKernels(bool? synchronous = null)
    {
        Context = CudaTestDevice.Open(synchronous);
        Compiler = OpenCompiler(Context.Device, Sources(Probe), KernelCache.Open(CacheFolder.FullName));
        Library = new KernelLibrary(Context, Compiler);
        try
        {
            Stream = new CudaStream(Context);
            Add = Library.Get(Program, "lazyllm_add");
            Reverse = Library.Get(Program, "lazyllm_reverse");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public CudaContext Context { get; }

    public KernelCompiler Compiler { get; }

    public KernelLibrary Library { get; }

    public CudaStream Stream { get; }

    public Kernel Add { get; }

    public Kernel Reverse { get; }

    /// <summary>A compiler of other sources for a device.</summary>
    public static KernelCompiler OpenCompiler(CudaDevice device, KernelSources sources, KernelCache cache) =>
        new(NvrtcToolchain.Open(CudaDevice.CheckDriverVersion()), sources, cache, device.ComputeCapability);

    /// <summary>Programs beside the headers of the library's own kernels.</summary>
    public static KernelSources Sources(params KernelSourceFile[] programs) =>
        new(programs.Concat(Headers.Select(name => KernelSources.Embedded[name])));

    public void Dispose()
    {
        Stream?.Dispose();
        Library.Dispose();
        Context.Dispose();
    }

    private static DirectoryInfo CreateCacheFolder()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lazyllm-");
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Delete(recursive: true);
        return folder;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct AddArgs
    {
        public ulong Sum;
        public ulong Left;
        public float Right;
        public int Count;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ReverseArgs
    {
        public ulong Data;
        public int Count;
    }
}
