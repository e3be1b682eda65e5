using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Compilation;

public sealed class NvrtcToolchainTests : IDisposable
{
    private const string Kernel = """
        #include "types.cuh"
        #include "body.cuh"
        struct FillArgs { i32 *target; };
        LAZYLLM_KERNEL(lazyllm_fill, FillArgs, 32) { BODY }
        """;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_wrong_source_gives_the_log_with_file_and_line()
    {
        using CudaContext context = CudaTestDevice.Open();
        KernelCompiler compiler = Compiler(context, "#define BODY *args.target = 1;", new KernelSourceFile("wrong.cu", "#include \"types.cuh\"\n\nstatic __device__ i32 f() { return undeclared_thing; }\n"));

        KernelCompilationException error = Assert.Throws<KernelCompilationException>(() => compiler.Compile(new KernelProgram("wrong.cu", "WIDTH=8")));

        Assert.Equal("wrong.cu(3)", error.Location);
        Assert.Equal("wrong.cu[WIDTH=8]", error.Kernel);
        Assert.Contains("undeclared_thing", error.Log, StringComparison.Ordinal);
        Assert.StartsWith("wrong.cu(3): wrong.cu[WIDTH=8] did not compile", error.Message, StringComparison.Ordinal);
        Assert.Contains(error.Log, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_entry_that_the_driver_refuses_is_compiled_again()
    {
        using CudaContext context = CudaTestDevice.Open();
        var program = new KernelProgram("fill.cu");
        KernelCompiler compiler = Compiler(context, "#define BODY *args.target = 42;");
        compiler.Cache.Store(compiler.Key(program), new CompiledKernel(program.Name, "sm_80", "not machine code"u8.ToArray(), string.Empty));

        using var library = new KernelLibrary(context, compiler);
        library.Prepare([program], cancellation: TestContext.Current.CancellationToken);

        Kernel kernel = library.Get(program, "lazyllm_fill");
        Assert.Equal("lazyllm_fill", kernel.Name);
        Assert.NotEqual("not machine code"u8.Length, Assert.Single(compiler.Cache.List()).Bytes);
        Assert.True(compiler.Cache.Find(compiler.Key(program))!.Image.Length > 100);
    }

    [Fact]
    public void Ptx_can_be_had_for_reading()
    {
        using CudaContext context = CudaTestDevice.Open();
        string ptx = Compiler(context, "#define BODY *args.target = 42;").CompileToPtx(new KernelProgram("fill.cu"));
        Assert.Contains("fill", ptx, StringComparison.Ordinal);
    }

    [Fact]
    public void The_built_ins_are_those_of_the_same_version()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("The names of Linux are made here.");
        }

        string[] names = ["libnvrtc.so.13", "libnvrtc-builtins.so.12.4", "libnvrtc-builtins.so.13.0", "libnvrtc-builtins.so.13.0.88", "libnvrtc-builtins.alt.so.13.0", "libnvrtc-builtins_static.a"];
        foreach (string name in names)
        {
            File.WriteAllText(Path.Combine(_folder.FullName, name), string.Empty);
        }

        string path = Path.Combine(_folder.FullName, "libnvrtc.so.13");
        Assert.Equal(Path.Combine(_folder.FullName, "libnvrtc-builtins.so.13.0"), NvrtcToolchain.FindBuiltins(path, 13, 0));
        Assert.Null(NvrtcToolchain.FindBuiltins(path, 13, 1));
        Assert.Null(NvrtcToolchain.FindBuiltins("libnvrtc.so.13", 13, 0));
    }

    private KernelCompiler Compiler(CudaContext context, string body, params KernelSourceFile[] others) => CudaTestKernels.OpenCompiler(
        context.Device,
        CudaTestKernels.Sources([new("fill.cu", Kernel), new("body.cuh", body), .. others]),
        KernelCache.Open(Path.Combine(_folder.FullName, "cache")));
}
