using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

public unsafe class PanelProductTests
{
    private static readonly (int Rows, int Columns, int Depth)[] Shapes =
        [(1, 1, 1), (1, 37, 99), (2, 64, 32), (3, 160, 64), (4, 90, 40), (5, 129, 31), (8, 300, 70), (12, 33, 65), (13, 256, 130), (14, 96, 33), (29, 70, 17), (100, 97, 172)];

    public static TheoryData<string> InstructionSets => CpuKernelCases.InstructionSets;

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Products_of_awkward_sizes_match_double_arithmetic(string set)
    {
        using var pool = new WorkerPool(2);
        foreach ((int rows, int columns, int depth) in Shapes)
        {
            foreach (TensorType type in Enum.GetValues<TensorType>())
            {
                ArrayTensor weight = ArrayTensor.Random(type, columns, depth, rows);
                double[] expected = Naive(rows, depth, weight);
                float[] stored = Multiply(set, pool, ProductEpilogue.Store, rows, columns, [weight]);
                CpuKernelCases.AssertClose(expected, stored, 2e-6);

                float[] added = Multiply(set, pool, ProductEpilogue.Add, rows, columns, [weight]);
                CpuKernelCases.AssertClose([.. expected.Select((x, i) => x + Before(i))], added, 2e-6);
            }
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Gate_and_up_come_out_as_one_activation(string set)
    {
        using var pool = new WorkerPool(2);
        foreach ((int rows, int columns, int depth) in Shapes)
        {
            ArrayTensor gate = ArrayTensor.Random(TensorType.BFloat16, columns, depth, rows);
            ArrayTensor up = ArrayTensor.Random(TensorType.BFloat16, columns, depth, rows + 1);
            double[] gates = Naive(rows, depth, gate);
            double[] ups = Naive(rows, depth, up);
            double[] expected = [.. gates.Zip(ups, (g, u) => g / (1 + Math.Exp(-g)) * u)];
            CpuKernelCases.AssertClose(expected, Multiply(set, pool, ProductEpilogue.SwiGlu, rows, columns, [gate, up]), 3e-6);
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Weights_of_different_formats_stand_side_by_side(string set)
    {
        using var pool = new WorkerPool(1);
        ArrayTensor query = ArrayTensor.Random(TensorType.BFloat16, 40, 24, 1);
        ArrayTensor key = ArrayTensor.Random(TensorType.Float32, 9, 24, 2);
        ArrayTensor value = ArrayTensor.Random(TensorType.Float16, 9, 24, 3);
        float[] actual = Multiply(set, pool, ProductEpilogue.Store, 3, 58, [query, key, value]);
        double[][] parts = [Naive(3, 24, query), Naive(3, 24, key), Naive(3, 24, value)];
        double[] expected = [.. Enumerable.Range(0, 3).SelectMany(row => parts.SelectMany(part => part.Skip(row * part.Length / 3).Take(part.Length / 3)))];
        CpuKernelCases.AssertClose(expected, actual, 2e-6);
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void A_row_is_the_same_bits_alone_in_company_and_on_any_number_of_threads(string set)
    {
        const int depth = 200;
        const int columns = 333;
        ArrayTensor weight = ArrayTensor.Random(TensorType.BFloat16, columns, depth, 7);
        using var one = new WorkerPool(1);
        using var three = new WorkerPool(3);
        float[] reference = Multiply(set, one, ProductEpilogue.Store, 40, columns, [weight]);
        for (int rows = 1; rows <= 40; rows++)
        {
            float[] actual = Multiply(set, rows % 2 == 0 ? one : three, ProductEpilogue.Store, rows, columns, [weight]);
            Assert.Equal(reference[..(rows * columns)], actual);
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Every_16_bit_number_widens_exactly(string set)
    {
        using var pool = new WorkerPool(1);
        CpuKernels kernels = CpuKernelCases.Kernels(set);
        foreach (TensorType type in new[] { TensorType.Float16, TensorType.BFloat16 })
        {
            float[] all = new float[65536];
            for (int i = 0; i < all.Length; i++)
            {
                all[i] = type == TensorType.Float16 ? (float)BitConverter.UInt16BitsToHalf((ushort)i) : BitConverter.UInt32BitsToSingle((uint)i << 16);
            }

            using PanelMatrix matrix = CpuKernelCases.Load(kernels, pool, ProductEpilogue.Store, new ArrayTensor(type, all.Length, 1, all));
            float[] result = new float[all.Length];
            float[] input = new float[RowLayout.Padding + 1];
            input[0] = 1;
            fixed (float* output = result, x = input)
            {
                matrix.Multiply(kernels, pool, x, 1, 1, output, all.Length);
            }

            Assert.Equal(all, result);
            float widened;
            matrix.WidenRow(12345, &widened);
            Assert.Equal(all[12345], widened);
        }
    }

    private static float Before(int index) => (index % 13) - 6;

    private static float[] Multiply(string set, WorkerPool pool, ProductEpilogue epilogue, int rows, int columns, WeightTensor[] tensors)
    {
        CpuKernels kernels = CpuKernelCases.Kernels(set);
        using PanelMatrix matrix = CpuKernelCases.Load(kernels, pool, epilogue, tensors);
        int depth = matrix.Depth;
        nint stride = RowLayout.Stride(depth);
        float[] input = Input(rows, depth);
        nint outputStride = columns + 3;
        float[] output = new float[rows * outputStride];
        Array.Fill(output, float.NaN);
        for (int i = 0; i < rows * columns; i++)
        {
            output[(i / columns * outputStride) + (i % columns)] = epilogue == ProductEpilogue.Add ? Before(i) : float.NaN;
        }

        fixed (float* x = input, y = output)
        {
            matrix.Multiply(kernels, pool, x, stride, rows, y, outputStride);
        }

        float[] result = new float[rows * columns];
        for (int row = 0; row < rows; row++)
        {
            output.AsSpan((int)(row * outputStride), columns).CopyTo(result.AsSpan(row * columns));
            Assert.All(output[(int)((row * outputStride) + columns)..(int)((row + 1) * outputStride)], gap => Assert.True(float.IsNaN(gap)));
        }

        return result;
    }

    private static float[] Input(int rows, int depth)
    {
        // Row i is the same whatever the number of rows.
        nint stride = RowLayout.Stride(depth);
        float[] input = CpuKernelCases.Rows(0, stride, 0);
        Array.Resize(ref input, (int)((rows + RowLayout.Padding) * stride));
        Array.Fill(input, float.NaN);
        for (int row = 0; row < rows; row++)
        {
            CpuKernelCases.Rows(1, stride, row).AsSpan(0, depth).CopyTo(input.AsSpan((int)(row * stride)));
        }

        return input;
    }

    private static double[] Naive(int rows, int depth, ArrayTensor weight)
    {
        nint stride = RowLayout.Stride(depth);
        float[] input = Input(rows, depth);
        double[] result = new double[rows * weight.Rows];
        for (int i = 0; i < result.Length; i++)
        {
            (int row, int column) = Math.DivRem(i, weight.Rows);
            for (int k = 0; k < depth; k++)
            {
                result[i] += (double)input[(row * stride) + k] * weight.Values[(column * depth) + k];
            }
        }

        return result;
    }
}
