using System.Runtime.InteropServices;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>A self-test source, compiled and loaded by the stand-in, and the memory its kernels work on.</summary>
internal sealed unsafe class StandinModule : IDisposable
{
    private readonly StandinDriver _driver;
    private readonly List<ulong> _memory = [];
    private nint _module;

    /// <summary>Compiles tests/cuda-standin/selftest/NAME.cu.</summary>
    public StandinModule(StandinDriver driver, string name)
    {
        _driver = driver;
        Assert.Equal(0, driver.Int("cuCtxSetCurrent", driver.Context));
        (int result, string log, byte[] image) = Compile(driver, File.ReadAllText(Path.Combine(Sources, name + ".cu")), name + ".cu");
        Assert.True(result == 0, log);
        nint module;
        fixed (byte* bytes = image)
        {
            Assert.Equal(0, ((delegate* unmanaged<nint*, byte*, uint, int*, void**, int>)driver.Export("cuModuleLoadDataEx"))(&module, bytes, 0, null, null));
        }

        _module = module;
    }

    private static string Sources => Path.Combine(RepositoryFiles.Root, "tests", "cuda-standin", "selftest");

    public static (int Result, string Log, byte[] Image) Compile(StandinDriver driver, string source, string name, params string[] options)
    {
        string kernels = Path.Combine(RepositoryFiles.Root, "kernels");
        nint program;
        fixed (byte* text = StandinDriver.Utf8(source), utf8Name = StandinDriver.Utf8(name))
        fixed (byte* types = StandinDriver.Utf8(File.ReadAllText(Path.Combine(kernels, "types.cuh"))), typesName = StandinDriver.Utf8("types.cuh"))
        fixed (byte* ptx = StandinDriver.Utf8(File.ReadAllText(Path.Combine(kernels, "ptx.cuh"))), ptxName = StandinDriver.Utf8("ptx.cuh"))
        {
            byte*[] headers = [types, ptx];
            byte*[] names = [typesName, ptxName];
            fixed (byte** headerTexts = headers, headerNames = names)
            {
                Assert.Equal(0, ((delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int>)driver.Export("nvrtcCreateProgram"))(&program, text, utf8Name, 2, headerTexts, headerNames));
            }
        }

        byte** optionTexts = stackalloc byte*[options.Length];
        for (int i = 0; i < options.Length; i++)
        {
            optionTexts[i] = (byte*)Marshal.StringToCoTaskMemUTF8(options[i]);
        }

        int result = ((delegate* unmanaged<nint, int, byte**, int>)driver.Export("nvrtcCompileProgram"))(program, options.Length, optionTexts);
        for (int i = 0; i < options.Length; i++)
        {
            Marshal.FreeCoTaskMem((nint)optionTexts[i]);
        }

        byte[] log = Read(driver, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
        byte[] image = result == 0 ? Read(driver, program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN") : [];
        ((delegate* unmanaged<nint*, int>)driver.Export("nvrtcDestroyProgram"))(&program);
        return (result, System.Text.Encoding.UTF8.GetString(log).TrimEnd('\0'), image);
    }

    public nint Function(string kernel)
    {
        nint function;
        fixed (byte* name = StandinDriver.Utf8(kernel))
        {
            Assert.Equal(0, ((delegate* unmanaged<nint*, nint, byte*, int>)_driver.Export("cuModuleGetFunction"))(&function, _module, name));
        }

        return function;
    }

    /// <summary>Launches on a stream (0: the null stream) and returns the launch's own result.</summary>
    public int Launch<T>(string kernel, int grid, int block, T args, int sharedBytes = 0, nint stream = 0)
        where T : unmanaged
    {
        void* parameter = &args;
        return ((delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)_driver.Export("cuLaunchKernel"))(
            Function(kernel), (uint)grid, 1, 1, (uint)block, 1, 1, (uint)sharedBytes, stream, &parameter, null);
    }

    /// <summary>Launches, expects no error, and waits.</summary>
    public void Run<T>(string kernel, int grid, int block, T args, int sharedBytes = 0)
        where T : unmanaged
    {
        Assert.Equal(0, Launch(kernel, grid, block, args, sharedBytes));
        Assert.True(Synchronize() == 0, _driver.LastError);
    }

    public int Synchronize() => ((delegate* unmanaged<int>)_driver.Export("cuCtxSynchronize"))();

    public ulong Allocate(long bytes)
    {
        Assert.Equal(0, TryAllocate(bytes, out ulong pointer));
        return pointer;
    }

    public int TryAllocate(long bytes, out ulong pointer)
    {
        ulong taken = 0;
        int result = ((delegate* unmanaged<ulong*, nuint, int>)_driver.Export("cuMemAlloc_v2"))(&taken, (nuint)bytes);
        pointer = taken;
        if (result == 0)
        {
            _memory.Add(taken);
        }

        return result;
    }

    public ulong Upload<T>(params ReadOnlySpan<T> values)
        where T : unmanaged
    {
        ulong pointer = Allocate(values.Length * sizeof(T));
        fixed (T* source = values)
        {
            Assert.Equal(0, ((delegate* unmanaged<ulong, void*, nuint, int>)_driver.Export("cuMemcpyHtoD_v2"))(pointer, source, (nuint)(values.Length * sizeof(T))));
        }

        return pointer;
    }

    public T[] Download<T>(ulong pointer, int count)
        where T : unmanaged
    {
        var values = new T[count];
        fixed (T* target = values)
        {
            Assert.Equal(0, ((delegate* unmanaged<void*, ulong, nuint, int>)_driver.Export("cuMemcpyDtoH_v2"))(target, pointer, (nuint)(count * sizeof(T))));
        }

        return values;
    }

    /// <summary>Gives everything back; a poisoned context is mended first.</summary>
    public void Dispose()
    {
        _driver.Reset();
        foreach (ulong pointer in _memory)
        {
            _driver.Int("cuMemFree_v2", (long)pointer);
        }

        _driver.Int("cuModuleUnload", _module);
        _module = 0;
        _driver.Reset();
    }

    private static byte[] Read(StandinDriver driver, nint program, string size, string content)
    {
        nuint bytes;
        Assert.Equal(0, ((delegate* unmanaged<nint, nuint*, int>)driver.Export(size))(program, &bytes));
        byte[] buffer = new byte[bytes];
        fixed (byte* target = buffer)
        {
            Assert.Equal(0, ((delegate* unmanaged<nint, byte*, int>)driver.Export(content))(program, target));
        }

        return buffer;
    }
}
