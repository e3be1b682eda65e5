using BenchmarkDotNet.Attributes;
using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench;

/// <summary><c>bench kernels</c>: one product of a layer of 1024, for one row, a few, and many, by instruction set and number format.</summary>
[InProcess]
[MemoryDiagnoser]
public unsafe class CpuKernelBenchmarks : IDisposable
{
    private const int Width = 1024;

    private WorkerPool _pool = null!;
    private FloatBuffer _input = null!;
    private FloatBuffer _output = null!;
    private CpuKernels _kernels = null!;
    private PanelMatrix _weight = null!;

    /// <summary>The instruction sets of this machine.</summary>
    public static IEnumerable<string> InstructionSets => CpuKernels.Supported.Select(set => set.ToString());

    /// <summary>Instruction set.</summary>
    [ParamsSource(nameof(InstructionSets))]
    public string InstructionSet { get; set; } = "";

    /// <summary>Number format of the weight.</summary>
    [Params(TensorType.BFloat16, TensorType.Float32)]
    public TensorType Type { get; set; }

    /// <summary>Rows of the input.</summary>
    [Params(1, 8, 512)]
    public int Rows { get; set; }

    /// <summary>Fills input and weight with random numbers.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _pool = new WorkerPool(Environment.ProcessorCount);
        _input = new FloatBuffer();
        _output = new FloatBuffer();
        _kernels = CpuKernels.CreateByName(InstructionSet);
        _weight = new PanelMatrix(_kernels, Type, Width, Width, ProductEpilogue.Store);
        var random = new Random(1);
        random.NextBytes(new Span<byte>(_weight.Panel(0), (int)_weight.ByteLength));
        for (ushort* number = (ushort*)_weight.Panel(0); number < _weight.Panel(0) + _weight.ByteLength; number++)
        {
            // Exponents of numbers about one, in either format's upper half.
            *number = (ushort)((*number & 0x807F) | 0x3F00);
        }

        long floats = (Rows + RowLayout.Padding) * (long)RowLayout.Stride(Width);
        float* input = _input.Reserve(floats);
        for (long i = 0; i < floats; i++)
        {
            input[i] = random.NextSingle() - 0.5f;
        }

        _output.Reserve((long)Rows * Width);
    }

    /// <summary>Frees memory and threads.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _weight.Dispose();
        _input.Dispose();
        _output.Dispose();
        _pool.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The product.</summary>
    [Benchmark]
    public void Multiply() => _weight.Multiply(_kernels, _pool, _input.Pointer, RowLayout.Stride(Width), Rows, _output.Pointer, Width);
}
