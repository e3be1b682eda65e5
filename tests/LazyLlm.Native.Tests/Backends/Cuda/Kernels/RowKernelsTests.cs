using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

/// <summary>What moves or norms rows: embed.cu, rows.cu, rmsnorm.cu, slots.cu, sample.cu.</summary>
public class RowKernelsTests
{
    public static MatrixTheoryData<TensorType, (int Rows, int Hidden)> Shapes => new(
        TestShapes.Of([TensorType.BFloat16, TensorType.Float16, TensorType.Float32], [TensorType.BFloat16, TensorType.Float32]),
        TestShapes.Of<(int, int)>([(0, 64), (1, 8), (1, 4096), (2, 37), (31, 127), (32, 128), (33, 129), (127, 61)], [(0, 64), (1, 4096), (33, 37)]));

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Embeddings_are_widened_to_their_positions(TensorType storage, (int Rows, int Hidden) size)
    {
        const int vocabulary = 50;
        const int first = 3;
        using var bench = new KernelBench(storage);
        DeviceShape shape = bench.Shape(size.Hidden);
        float[] table = bench.Numbers(vocabulary * shape.Hidden);
        int[] tokens = [.. Enumerable.Range(0, size.Rows).Select(i => i * 7 % vocabulary)];
        ulong aux = bench.Floats((first + size.Rows) * shape.Hidden);
        new EmbedKernel(bench.Library, shape).Launch(bench.Stream, bench.Stored(table), aux, first, tokens);
        float[] result = bench.Read(aux, (first + size.Rows) * shape.Hidden);
        Assert.All(result[..(first * shape.Hidden)], value => Assert.True(float.IsNaN(value)));
        for (int i = 0; i < size.Rows; i++)
        {
            Assert.Equal(Row(table, tokens[i], shape.Hidden), Row(result, first + i, shape.Hidden));
        }
    }

    [Fact]
    public void A_prompt_longer_than_one_launch_is_embedded_whole()
    {
        using var bench = new KernelBench(TensorType.BFloat16);
        DeviceShape shape = bench.Shape(8);
        float[] table = bench.Numbers(1000 * 8);
        int[] tokens = [.. Enumerable.Range(0, 1100).Select(i => (i * 13) % 1000)];
        ulong aux = bench.Floats(tokens.Length * 8);
        new EmbedKernel(bench.Library, shape).Launch(bench.Stream, bench.Stored(table), aux, 0, tokens);
        Assert.Equal(tokens.SelectMany(t => Row(table, t, 8)), bench.Read(aux, tokens.Length * 8));
    }

    // Aux and residual rows are float32 whatever the storage format.
    [Theory]
    [InlineData(0, 64)]
    [InlineData(1, 8)]
    [InlineData(1, 4096)]
    [InlineData(2, 37)]
    [InlineData(31, 127)]
    [InlineData(32, 128)]
    [InlineData(33, 129)]
    [InlineData(127, 61)]
    public void Rows_are_gathered_and_scattered(int rows, int hidden)
    {
        const int capacity = 200;
        using var bench = new KernelBench(TensorType.Float32);
        DeviceShape shape = bench.Shape(hidden);
        var kernels = new RowsKernels(bench.Library, shape);
        float[] aux = bench.Numbers(capacity * shape.Hidden);
        int[] positions = bench.Positions(rows, capacity);
        ulong positionsThere = bench.Upload(positions);
        ulong auxThere = bench.Upload(aux);
        ulong residual = bench.Floats(rows * shape.Hidden);
        kernels.Gather(bench.Stream, auxThere, residual, positionsThere, RowCount.Of(rows));
        Assert.Equal(positions.SelectMany(p => Row(aux, p, shape.Hidden)), bench.Read(residual, rows * shape.Hidden));

        float[] changed = bench.Numbers(rows * shape.Hidden);
        kernels.Scatter(bench.Stream, auxThere, bench.Upload(changed), positionsThere, RowCount.Of(rows));
        for (int i = 0; i < rows; i++)
        {
            Row(changed, i, shape.Hidden).CopyTo(aux, positions[i] * shape.Hidden);
        }

        Assert.Equal(aux, bench.Read(auxThere, aux.Length));
    }

    [Theory]
    [InlineData(1, 8, 8, false)]
    [InlineData(33, 129, 40, false)]
    [InlineData(6, 2000, 1024, true)]
    public void The_last_row_is_kept(int rows, int hidden, int queryWidth, bool isOnDevice)
    {
        // Rows of a sequence that begin at the pass's row 2 go to row 1.
        const int first = 2;
        const int kept = 1;
        using var bench = new KernelBench(TensorType.BFloat16);
        DeviceShape shape = bench.Shape(hidden);
        int stride = queryWidth + 16;
        float[] residual = bench.Numbers((first + rows) * shape.Hidden);
        float[] queries = bench.Numbers((first + rows) * stride);
        ulong residualThere = bench.Upload(residual);
        ulong queriesThere = bench.Stored(queries);
        ulong state = bench.Upload<StepState>([new StepState { Rows = rows }]);
        float[] stored = bench.ReadStored(queriesThere, queries.Length);
        new RowsKernels(bench.Library, shape).KeepLast(bench.Stream, new LastRowArgs
        {
            Residual = residualThere + ((ulong)(first * shape.Hidden) * sizeof(float)),
            Queries = queriesThere + ((ulong)(first * stride) * 2),
            KeptResidual = residualThere + ((ulong)(kept * shape.Hidden) * sizeof(float)),
            KeptQueries = queriesThere + ((ulong)(kept * stride) * 2),
            Count = isOnDevice ? RowCount.AtMost(rows + 2, state) : RowCount.Of(rows),
            Width = shape.Hidden,
            QueryStride = stride * 2,
            QueryBytes = queryWidth * 2,
        });
        residual.AsSpan((first + rows - 1) * shape.Hidden, shape.Hidden).CopyTo(residual.AsSpan(kept * shape.Hidden));
        stored.AsSpan((first + rows - 1) * stride, queryWidth).CopyTo(stored.AsSpan(kept * stride));
        Assert.Equal(residual, bench.Read(residualThere, residual.Length));
        Assert.Equal(stored, bench.ReadStored(queriesThere, stored.Length));
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Rows_are_normed(TensorType storage, (int Rows, int Hidden) size)
    {
        const int capacity = 150;
        using var bench = new KernelBench(storage);
        DeviceShape shape = bench.Shape(size.Hidden);
        int width = shape.Hidden;
        var kernel = new RmsNormKernel(bench.Library, shape);
        float[] aux = Padded(bench.Numbers(capacity * width, 100), shape);
        float[] gains = Padded(bench.Numbers(width), shape);
        int[] positions = bench.Positions(size.Rows, capacity);
        float[] rows = [.. positions.SelectMany(p => Row(aux, p, width))];
        double[] expected = [.. Enumerable.Range(0, size.Rows).SelectMany(i => Normed(Row(rows, i, width), gains, shape))];
        ulong gainsThere = bench.Upload(gains);

        // Between products.
        ulong normed = bench.StoredFloats(rows.Length);
        kernel.Launch(bench.Stream, bench.Upload(rows), gainsThere, normed, RowCount.Of(size.Rows));
        KernelBench.AssertClose(expected, bench.ReadStored(normed, rows.Length), bench.Rounding + 1e-6, 1e-7);

        // Where a stage begins, with a count from the device.
        ulong state = bench.Upload<StepState>([new StepState { Rows = size.Rows }]);
        ulong residual = bench.Floats(rows.Length);
        ulong gathered = bench.StoredFloats(rows.Length);
        kernel.LaunchGathering(bench.Stream, bench.Upload(aux), bench.Upload(positions), residual, gainsThere, gathered, RowCount.AtMost(128, state));
        Assert.Equal(bench.ReadStored(normed, rows.Length), bench.ReadStored(gathered, rows.Length));
        Assert.Equal(rows, bench.Read(residual, rows.Length));

        // Before the output head.
        if (size.Rows > 0)
        {
            ulong last = bench.StoredFloats(width);
            kernel.LaunchLast(bench.Stream, bench.Upload(rows), gainsThere, last, RowCount.AtMost(128, state));
            Assert.Equal(bench.ReadStored(normed, rows.Length)[^width..], bench.ReadStored(last, width));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(1024)]
    [InlineData(1025)]
    [InlineData(32003)]
    public void The_highest_logit_wins_and_the_lower_token_among_equals(int count)
    {
        using var bench = new KernelBench(TensorType.Float32);
        float[] logits = bench.Numbers(count);
        float highest = 2;
        int winner = count / 3;
        for (int i = winner; i < count; i += 7)
        {
            logits[i] = highest;
        }

        Assert.Equal(winner, ArgMax(bench, logits));
        if (winner > 0)
        {
            logits[0] = float.NaN;
            Assert.Equal(winner, ArgMax(bench, logits));
        }

        Array.Fill(logits, float.NegativeInfinity);
        Assert.Equal(0, ArgMax(bench, logits));
    }

    [Fact]
    public void Slots_from_a_count_on_are_forgotten()
    {
        using var bench = new KernelBench(TensorType.Float32);
        int[] slotOf = [.. Enumerable.Range(0, 300).Select(i => i % 5 == 0 ? -1 : 299 - i)];
        ulong there = bench.Upload(slotOf);
        new SlotsKernel(bench.Library).LaunchForget(bench.Stream, there, slotOf.Length, 100);
        Assert.Equal(slotOf.Select(slot => slot >= 100 ? -1 : slot), bench.ReadIntegers(there, slotOf.Length));
    }

    private static int ArgMax(KernelBench bench, float[] logits)
    {
        ulong token = bench.Upload<int>([-1]);
        new SampleKernel(bench.Library).LaunchArgMax(bench.Stream, bench.Upload(logits), token, logits.Length);
        return bench.ReadIntegers(token, 1)[0];
    }

    private static float[] Row(float[] rows, int row, int width) => rows[(row * width)..((row + 1) * width)];

    private static float[] Padded(float[] rows, DeviceShape shape)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i] = i % shape.Hidden < shape.Config.HiddenSize ? rows[i] : 0;
        }

        return rows;
    }

    private static double[] Normed(float[] row, float[] gains, DeviceShape shape)
    {
        double mean = row.Sum(x => (double)x * x) / shape.Config.HiddenSize;
        double scale = 1 / Math.Sqrt(mean + shape.Config.NormEpsilon);
        return [.. row.Zip(gains, (x, gain) => x * scale * gain)];
    }
}
