using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Compilation;

public sealed class KernelCompilerTests : IDisposable
{
    private static readonly KernelSources Sources = new([new("add.cu", "add"), new("gemm_sm90.cu", "gemm"), new("types.cuh", "types")]);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void The_options_are_in_a_fixed_order()
    {
        KernelCompiler compiler = Compiler(new FakeToolchain { ImageBytes = 64 }, new(8, 6));

        byte[] image = compiler.Compile(new KernelProgram("add.cu", "B=2", "A")).Image.ToArray();

        string[] options = ["--gpu-architecture=sm_86", "-lineinfo", "-std=c++17", "-default-device", "--ptxas-options=-v", "-DB=2", "-DA"];
        Assert.Equal(FakeToolchain.Expected("add", Sources.Headers, options, 64), image);
    }

    [Fact]
    public void Hoppers_own_programs_get_its_own_architecture()
    {
        KernelCompiler hopper = Compiler(new FakeToolchain(), new(9, 0));
        Assert.Equal("sm_90a", hopper.Compile(new KernelProgram("gemm_sm90.cu")).Target);
        Assert.Equal("sm_90", hopper.Compile(new KernelProgram("add.cu")).Target);
    }

    [Fact]
    public async Task A_program_is_compiled_once_however_many_ask()
    {
        var toolchain = new FakeToolchain { Compiling = _ => Thread.Sleep(20) };
        KernelCompiler compiler = Compiler(toolchain);

        CompiledKernel[] kernels = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => compiler.Compile(new KernelProgram("add.cu")))));

        Assert.Equal(1, toolchain.Compilations);
        Assert.All(kernels, kernel => Assert.Same(kernels[0], kernel));
    }

    [Fact]
    public void A_failure_reaches_the_caller_and_is_tried_again()
    {
        int calls = 0;
        var failure = new KernelCompilationException("add.cu[N=3]", "it is wrong.", "add.cu(7): error: wrong", "add.cu(7)");
        var toolchain = new FakeToolchain { Compiling = kernel => _ = kernel == "add.cu[N=3]" && Interlocked.Increment(ref calls) == 1 ? throw failure : 0 };
        KernelCompiler compiler = Compiler(toolchain);
        KernelProgram[] programs = [.. Enumerable.Range(0, 6).Select(number => new KernelProgram("add.cu", $"N={number}"))];

        KernelCompilationException error = Assert.Throws<KernelCompilationException>(() => compiler.CompileAll(programs, cancellation: TestContext.Current.CancellationToken));
        Assert.Same(failure, error);
        Assert.StartsWith("add.cu(7): add.cu[N=3] did not compile", error.Message, StringComparison.Ordinal);

        Assert.Equal(programs.Select(program => program.Name), compiler.CompileAll(programs, cancellation: TestContext.Current.CancellationToken).Select(kernel => kernel.Name));
        Assert.Equal(2, calls);
    }

    [Fact]
    public void Cancelling_stops_before_the_next_program()
    {
        using var cancellation = new CancellationTokenSource();
        var toolchain = new FakeToolchain { Compiling = _ => cancellation.Cancel() };
        KernelProgram[] programs = [.. Enumerable.Range(0, 100).Select(number => new KernelProgram("add.cu", $"N={number}"))];

        Assert.Throws<OperationCanceledException>(() => Compiler(toolchain).CompileAll(programs, cancellation: cancellation.Token));
        Assert.InRange(toolchain.Compilations, 1, Environment.ProcessorCount * 2);
    }

    [Fact]
    public void A_source_that_is_not_there_is_named()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => Compiler(new FakeToolchain()).Compile(new KernelProgram("absent.cu")));
        Assert.Contains("absent.cu", error.Message, StringComparison.Ordinal);
        Assert.Contains("add.cu, gemm_sm90.cu", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_assemblers_log_gives_registers_and_spills()
    {
        const string Log = """
            ptxas info    : 0 bytes gmem
            ptxas info    : Compiling entry function 'lazyllm_first' for 'sm_90'
            ptxas info    : Function properties for lazyllm_first
                16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
            ptxas info    : Used 255 registers, used 1 barriers, 49152 bytes smem, 384 bytes cmem[0]
            ptxas info    : Compiling entry function 'lazyllm_second' for 'sm_90'
            ptxas info    : Function properties for lazyllm_second
                0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
            ptxas info    : Used 32 registers, used 0 barriers, 384 bytes cmem[0]
            """;

        Assert.Equal([new("lazyllm_first", 255, 49152, 16, 12), new("lazyllm_second", 32, 0, 0, 0)], KernelUsage.Parse(Log));
        Assert.Empty(KernelUsage.Parse("add.cu(7): error: wrong"));
    }

    [Theory]
    [InlineData("/cache/sources/0f/gemm.cu(17): error: identifier \"x\" is undefined", "gemm.cu(17)")]
    [InlineData("gemm.cu(3): warning #177-D: unused\n\ngemm.cu(8): catastrophic error: cannot open source file \"y.cuh\"", "gemm.cu(8)")]
    [InlineData("ptx.cuh(5): error: asm operand", "ptx.cuh(5)")]
    [InlineData("/cache/gemm.cu:21:9: error: 'x' was not declared", "gemm.cu(21)")]
    [InlineData("nothing to see", null)]
    public void The_first_error_is_located(string log, string? expected) => Assert.Equal(expected, NvrtcToolchain.FirstError(log));

    [Theory]
    [InlineData(13, 0, 12040, "NVRTC 13.0 (/x/libnvrtc.so) is newer than the driver, which supports CUDA 12.4. Update the driver, or install NVRTC 12")]
    [InlineData(11, 8, 12040, "NVRTC 11.8 (/x/libnvrtc.so) is too old")]
    public void An_Nvrtc_that_does_not_fit_the_driver_is_refused(int major, int minor, int driver, string message)
    {
        DeviceException error = Assert.Throws<DeviceException>(() => NvrtcToolchain.CheckVersions("/x/libnvrtc.so", major, minor, driver));
        Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_Nvrtc_of_the_drivers_generation_or_older_fits()
    {
        NvrtcToolchain.CheckVersions("/x/libnvrtc.so", 12, 9, 12000);
        NvrtcToolchain.CheckVersions("/x/libnvrtc.so", 12, 0, 13000);
    }

    [Theory]
    [InlineData("sm_80", 8, 0)]
    [InlineData("90", 9, 0)]
    [InlineData("sm_90a", 9, 0)]
    [InlineData("8.6", 8, 6)]
    [InlineData("120", 12, 0)]
    [InlineData("9", null, null)]
    [InlineData("sm_", null, null)]
    [InlineData("-80", null, null)]
    public void Architectures_are_read_in_their_usual_forms(string text, int? major, int? minor)
    {
        bool valid = ComputeCapability.TryParse(text, out ComputeCapability value);
        Assert.Equal(major is not null, valid);
        Assert.Equal(valid ? new ComputeCapability(major!.Value, minor!.Value) : default, value);
    }

    private KernelCompiler Compiler(FakeToolchain toolchain, ComputeCapability? capability = null) =>
        new(toolchain, Sources, KernelCache.Open(_folder.FullName), capability ?? new(8, 0));
}
