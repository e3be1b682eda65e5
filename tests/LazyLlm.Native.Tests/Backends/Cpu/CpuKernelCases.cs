using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

/// <summary>What the tests of the CPU kernels share: every instruction set that the machine runs, weights and rows.</summary>
internal static unsafe class CpuKernelCases
{
    /// <summary>The names of the instruction sets that this machine runs.</summary>
    public static TheoryData<string> InstructionSets => [.. CpuKernels.Supported.Select(set => set.ToString())];

    public static CpuKernels Kernels(string name) => CpuKernels.Create(Enum.Parse<CpuInstructionSet>(name));

    /// <summary>Loads weights into panels as a model's are.</summary>
    public static PanelMatrix Load(CpuKernels kernels, WorkerPool pool, ProductEpilogue epilogue, params WeightTensor[] tensors)
    {
        TensorType type = tensors.All(t => t.Type == tensors[0].Type) ? tensors[0].Type : TensorType.Float32;
        var matrix = new PanelMatrix(kernels, type, tensors.Sum(t => t.Rows), tensors[0].Columns, epilogue);
        var load = new PanelLoad(kernels, matrix, tensors, 0);
        pool.Run(in load, matrix.PanelCount, long.MaxValue);
        return matrix;
    }

    /// <summary>Rows of numbers between -1 and 1, with what a tile reads behind them poisoned.</summary>
    public static float[] Rows(int rows, nint stride, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[(rows + RowLayout.Padding) * stride];
        Array.Fill(values, float.NaN);
        for (int i = 0; i < rows * stride; i++)
        {
            values[i] = (random.NextSingle() * 2) - 1;
        }

        return values;
    }

    /// <summary>Asserts that two results agree to <paramref name="tolerance"/> of the expected one's size, in the sense of norms.</summary>
    public static void AssertClose(ReadOnlySpan<double> expected, ReadOnlySpan<float> actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += (expected[i] - actual[i]) * (expected[i] - actual[i]);
            size += expected[i] * expected[i];
        }

        double relative = Math.Sqrt(difference / size);
        Assert.True(relative < tolerance, $"relative difference {relative:E2}, expected below {tolerance:E0}");
    }
}
