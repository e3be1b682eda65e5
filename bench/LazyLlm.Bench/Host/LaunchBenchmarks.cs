using BenchmarkDotNet.Attributes;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Interop.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench.Host;

/// <summary>
/// What a launch costs the host, by kernel: our path and the driver's calls in it; the baseline is those two calls alone.
/// With the stand-in driver and <c>LAZYLLM_STANDIN=skip_launches=1</c> the driver does next to nothing, and our path is left.
/// </summary>
public unsafe class LaunchBenchmarks : IDisposable
{
    private const int Tokens = 64;

    private static readonly int[] OneToken = [7];

    private CudaContext _context = null!;
    private CudaStream _stream = null!;
    private KernelLibrary _library = null!;
    private CudaModule _module = null!;
    private DeviceBuffer _memory = null!;
    private RowsKernels _rows = null!;
    private RmsNormKernel _norm = null!;
    private LinearKernels _linear = null!;
    private AttentionKernels _attention = null!;
    private EmbedKernel _embed = null!;
    private AttentionArgs _attentionArgs;
    private LinearArgs _linearArgs;
    private RowsArgs _rowsArgs;
    private nint _function;
    private nint _contextHandle;

    /// <summary>Compiles the kernels of a tiny model.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        CudaDevice device = CudaDevice.Open();
        var shape = new DeviceShape(ModelShapes.Find("tiny"), TensorType.BFloat16);
        _context = CudaContext.Open(device, synchronous: false);
        _stream = new CudaStream(_context);
        KernelCompiler compiler = KernelCompiler.Open(device.ComputeCapability, driverVersion: CudaDevice.CheckDriverVersion());
        _library = new KernelLibrary(_context, compiler);
        _library.Prepare(CudaOperations.Programs(shape, device.ComputeCapability));
        _memory = new DeviceBuffer(_context, 1 << 20, "what kernels work on");
        _stream.Fill(_memory.Pointer, 0, _memory.Bytes);
        _rows = new RowsKernels(_library, shape);
        _norm = new RmsNormKernel(_library, shape);
        _linear = new LinearKernels(_library, shape, device);
        _attention = new AttentionKernels(_library, shape, device);
        _embed = new EmbedKernel(_library, shape);
        _linearArgs = new LinearArgs { Input = _memory.Pointer, Weights = _memory.Pointer, Output = _memory.At(1 << 19), Count = RowCount.Of(1), N = shape.QueryKeyValueWidth, K = shape.Hidden, OutputStride = shape.QueryKeyValueWidth };
        _attentionArgs = new AttentionArgs
        {
            Queries = _memory.Pointer,
            Keys = _memory.Pointer,
            Output = _memory.At(1 << 19),
            Partials = _memory.At(3 << 18),
            Count = RowCount.Of(1),
            SlotStride = 2 * shape.KeyValueWidth,
            RowStride = shape.QueryKeyValueWidth,
            ValueOffset = shape.KeyValueWidth,
            Heads = shape.Config.HeadCount,
            KeyValueHeads = shape.Config.KeyValueHeadCount,
            TokenCount = Tokens,
            Scale = 1,
        };
        _rowsArgs = new RowsArgs { Aux = _memory.Pointer, Residual = _memory.At(1 << 19), Positions = _memory.Pointer, Count = RowCount.Of(1), Width = shape.Hidden };
        _module = new CudaModule(_context, compiler.Compile(RowsKernels.Program).Image.Span, "rows.cu");
        fixed (byte* name = "lazyllm_gather_rows"u8)
        {
            _context.Check(CudaDriver.cuModuleGetFunction(out _function, _module.Native, name));
        }

        _contextHandle = _context.DangerousGetHandle();
        _stream.Synchronize();
    }

    /// <summary>Frees the device.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _stream.Synchronize();
        _module.Dispose();
        _memory.Dispose();
        _library.Dispose();
        _stream.Dispose();
        _context.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The driver's calls of one launch, prepared beforehand and not checked.</summary>
    [Benchmark(Baseline = true)]
    public int DriverCallsAlone()
    {
        RowsArgs args = _rowsArgs;
        void* parameter = &args;
        var config = new CuLaunchConfig { GridX = 1, GridY = 1, GridZ = 1, BlockX = 256, BlockY = 1, BlockZ = 1, Stream = _stream.DangerousGetHandle() };
        return (int)CudaDriver.cuCtxSetCurrent(_contextHandle) + (int)CudaDriver.cuLaunchKernelEx(&config, _function, &parameter, null);
    }

    /// <summary>The same kernel through the engine.</summary>
    [Benchmark]
    public void GatherRows() => _rows.Gather(_stream, _rowsArgs.Aux, _rowsArgs.Residual, _rowsArgs.Positions, RowCount.Of(1));

    /// <summary>A norm of one row.</summary>
    [Benchmark]
    public void RmsNorm() => _norm.Launch(_stream, _memory.Pointer, _memory.Pointer, _memory.At(1 << 19), RowCount.Of(1));

    /// <summary>A product of one row, with the choice of its kernel.</summary>
    [Benchmark]
    public void LinearOfOneRow() => _linear.Launch(_stream, _linearArgs);

    /// <summary>Attention of one row, with the choice of its kernel.</summary>
    [Benchmark]
    public void AttentionOfOneRow() => _attention.Launch(_stream, _attentionArgs);

    /// <summary>The embedding of one token, whose ids are parameters: 2 KiB of them.</summary>
    [Benchmark]
    public void EmbedOneToken() => _embed.Launch(_stream, _memory.Pointer, _memory.At(1 << 19), 0, OneToken);
}
