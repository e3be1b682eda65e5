using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

public class LinearKernelsTests
{
    public static MatrixTheoryData<TensorType, (int Rows, int N, int K)> Shapes => new(
        TestShapes.Of([TensorType.BFloat16, TensorType.Float16, TensorType.Float32], [TensorType.BFloat16, TensorType.Float32]),
        TestShapes.Of(
            [
                (1, 8, 8), (1, 33, 64), (2, 31, 40), (3, 97, 264), (4, 128, 2056), (5, 127, 72), (7, 1, 88), (8, 255, 352),
                (9, 8, 8), (9, 40, 24), (12, 40, 1000), (31, 104, 72), (32, 128, 128), (33, 136, 200), (64, 72, 1000), (65, 248, 64), (127, 136, 104), (131, 152, 136),
            ],
            [(1, 33, 64), (2, 31, 40), (4, 128, 2056), (7, 1, 88), (12, 40, 1000), (33, 40, 704), (131, 152, 136)]));

    public static TheoryData<int, int, int> LlamaShapes => TestShapes.AreSmall
        ? new() { { 1, 64, 4096 }, { 16, 32, 4096 } }
        : new() { { 1, 12288, 4096 }, { 1, 4096, 11008 }, { 16, 256, 4096 }, { 16, 64, 11008 } };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Products_are_right(TensorType storage, (int Rows, int N, int K) size)
    {
        (int rows, int n, int k) = size;
        using var bench = new KernelBench(storage);
        float[] input = bench.Numbers((long)rows * k);
        float[] weights = bench.Numbers((long)n * k);
        double[] expected = Product(input, weights, rows, n, k);
        double error = 1e-6 * Math.Sqrt(k) * 4;

        // The float32 output is the streaming product's alone, where n need not be a multiple of 8.
        if (rows <= LinearKernels.MaxStreamedRows)
        {
            ulong floats = bench.Floats(rows * n);
            Launch(bench, input, weights, floats, size, n, LinearEpilogue.StoreFloat, kind: LinearKind.Streamed);
            KernelBench.AssertClose(expected, bench.Read(floats, rows * n), 0, error);
        }

        foreach (LinearKind? kind in n % DeviceShape.Unit == 0 ? KindsFor(rows) : [])
        {
            ulong stored = bench.StoredFloats(rows * n);
            Launch(bench, input, weights, stored, size, n, LinearEpilogue.Store, kind: kind);
            KernelBench.AssertClose(expected, bench.ReadStored(stored, rows * n), bench.Rounding, error);

            float[] before = bench.Numbers(rows * n, 10);
            ulong residual = bench.Upload(before);
            Launch(bench, input, weights, residual, size, n, LinearEpilogue.AddResidual, kind: kind);
            KernelBench.AssertClose([.. expected.Zip(before, (a, b) => a + b)], bench.Read(residual, rows * n), 0, error + 1e-5);
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Swiglu_is_fused(TensorType storage, (int Rows, int N, int K) size)
    {
        (int rows, _, int k) = size;
        int width = DeviceShape.RoundUp(size.N);
        int n = 2 * width;
        using var bench = new KernelBench(storage);
        float[] input = bench.Numbers((long)rows * k);
        float[] weights = bench.Numbers((long)n * k);
        double[] sums = Product(input, weights, rows, n, k);
        double[] expected = new double[rows * width];
        for (int i = 0; i < expected.Length; i++)
        {
            int group = (i / width * n) + (i % width / 8 * 16) + (i % width % 8);
            expected[i] = sums[group] / (1 + Math.Exp(-sums[group])) * sums[group + 8];
        }

        foreach (LinearKind? kind in KindsFor(rows))
        {
            ulong output = bench.StoredFloats(expected.Length);
            Launch(bench, input, weights, output, (rows, n, k), width, LinearEpilogue.SwiGlu, kind: kind);
            KernelBench.AssertClose(expected, bench.ReadStored(output, expected.Length), bench.Rounding + 1e-5, 1e-4 * Math.Sqrt(k));
        }
    }

    [Theory]
    [InlineData(TensorType.BFloat16)]
    [InlineData(TensorType.Float32)]
    public void A_row_gets_the_same_bits_in_any_company(TensorType storage)
    {
        const int n = 72;
        const int k = 616;
        using var bench = new KernelBench(storage);
        float[] input = bench.Numbers(200 * k);
        float[] weights = bench.Numbers(n * k);
        foreach ((LinearKind? kind, int[] counts) in ((LinearKind?, int[])[])[(LinearKind.Streamed, [1, 2, 3, 4, 5, 8]), (null, [5, 9, 16, 17, 63, 65, 128, 200])])
        {
            float[]? first = null;
            foreach (int rows in counts)
            {
                ulong output = bench.StoredFloats(rows * n);
                Launch(bench, input[..(rows * k)], weights, output, (rows, n, k), n, LinearEpilogue.Store, kind: kind);
                float[] row = bench.ReadStored(output, rows * n)[..n];
                first ??= row;
                Assert.Equal(first, row);
            }
        }
    }

    [Theory]
    [InlineData(8, 1)]
    [InlineData(8, 5)]
    [InlineData(16, 9)]
    [InlineData(64, 9)]
    [InlineData(64, 0)]
    public void A_recorded_launch_reads_its_row_count_on_the_device(int limit, int rows)
    {
        const int n = 40;
        const int k = 72;
        using var bench = new KernelBench(TensorType.BFloat16);
        float[] input = bench.Numbers(rows * k);
        float[] weights = bench.Numbers(n * k);
        ulong state = bench.Upload<StepState>([new StepState { Rows = rows }]);
        ulong output = bench.StoredFloats(rows * n);
        Launch(bench, input, weights, output, (rows, n, k), n, LinearEpilogue.Store, RowCount.AtMost(limit, state));
        KernelBench.AssertClose(Product(input, weights, rows, n, k), bench.ReadStored(output, rows * n), bench.Rounding, 1e-4);
    }

    [Fact]
    public void Large_numbers_stay_finite_and_infinities_are_kept()
    {
        const int k = 64;
        using var bench = new KernelBench(TensorType.BFloat16);
        float[] input = bench.Numbers(k);
        float[] weights = bench.Numbers(16 * k, 1e30f);
        weights[8 * k] = float.PositiveInfinity;
        input[0] = 1;
        ulong output = bench.Floats(16);
        Launch(bench, input, weights, output, (1, 16, k), 16, LinearEpilogue.StoreFloat);
        float[] result = bench.Read(output, 16);
        Assert.Equal(float.PositiveInfinity, result[8]);
        Assert.All(result.Where((_, i) => i != 8), value => Assert.True(float.IsFinite(value)));
    }

    [Theory]
    [MemberData(nameof(LlamaShapes))]
    public void The_shapes_of_Llama_2_7B_are_right(int rows, int n, int k)
    {
        using var bench = new KernelBench(TensorType.BFloat16);
        float[] input = bench.Numbers((long)rows * k);
        float[] weights = bench.Numbers((long)n * k);
        ulong output = bench.StoredFloats(rows * n);
        Launch(bench, input, weights, output, (rows, n, k), n, LinearEpilogue.Store);
        KernelBench.AssertClose(Product(input, weights, rows, n, k), bench.ReadStored(output, rows * n), bench.Rounding, 1e-3);
    }

    [Theory]
    [InlineData(64)]
    [InlineData(128)]
    [InlineData(192)]
    [InlineData(256)]
    [InlineData(512)]
    public void Every_tile_of_the_Hopper_product_is_right(int columns)
    {
        // With two rows of tiles, each multiprocessor has one tile of so many columns; at 512, one of 192 rows by 256.
        const int rows = 129;
        const int k = 72;
        using var bench = new KernelBench(TensorType.BFloat16);
        Assert.SkipUnless(KernelVariant.TakesHopper(bench.Context.Device.ComputeCapability), "The product of many rows for Hopper is chosen on compute capability 9.0 alone.");
        int n = (columns * (bench.Context.Device.MultiprocessorCount / 2)) - 8;
        float[] input = bench.Numbers(rows * k);
        float[] weights = bench.Numbers((long)n * k);
        double[] expected = Product(input, weights, rows, n, k);
        ulong output = bench.StoredFloats(rows * n);
        Launch(bench, input, weights, output, (rows, n, k), n, LinearEpilogue.Store);
        KernelBench.AssertClose(expected, bench.ReadStored(output, rows * n), bench.Rounding, 1e-4);

        float[] before = bench.Numbers(rows * n);
        ulong sums = bench.Upload(before);
        Launch(bench, input, weights, sums, (rows, n, k), n, LinearEpilogue.AddResidual);
        KernelBench.AssertClose([.. expected.Zip(before, (sum, value) => sum + value)], bench.Read(sums, rows * n), 1e-5, 1e-4);
    }

    [Theory]
    [InlineData(TensorType.BFloat16, 4, 2, 64, 5120)]
    [InlineData(TensorType.Float16, 3, 1, 40, 136)]
    public void One_row_is_normed_and_turned_on_the_way_to_the_same_bits(TensorType storage, int heads, int keyValueHeads, int headSize, int hidden)
    {
        using var bench = new KernelBench(storage);
        Assert.SkipUnless(KernelVariant.TakesHopper(bench.Context.Device.ComputeCapability), "The product of one row for Hopper is chosen on compute capability 9.0 alone.");
        var shape = new DeviceShape(KernelBench.Config(hidden, 16, heads, keyValueHeads, headSize), storage);
        var linear = new LinearKernels(bench.Library, shape, bench.Context.Device);
        int width = shape.QueryKeyValueWidth;
        int stride = (2 * shape.KeyValueWidth) + 8;
        float[] cache = bench.Numbers(3 * stride);
        var table = RotaryTable.Create(shape.Config, 60);
        ulong residual = bench.Upload(bench.Numbers(2 * hidden, 30));
        ulong gains = bench.Upload(bench.Numbers(hidden));
        ulong[] caches = [bench.Stored(cache), bench.Stored(cache)];
        ulong[] outputs = [bench.StoredFloats(2 * width), bench.StoredFloats(2 * width)];
        ulong normed = bench.StoredFloats(2 * hidden);
        var product = new LinearArgs { Input = normed, Weights = bench.Stored(bench.Numbers((long)width * hidden)), N = width, K = hidden, OutputStride = width, Epilogue = LinearEpilogue.Store };
        var turn = new TurnArgs
        {
            Keys = caches[0],
            Cosines = bench.Upload(table.Cosines),
            Sines = bench.Upload(table.Sines),
            Positions = bench.Upload<int>([53]),
            Slots = bench.Upload<int>([1]),
            SlotStride = stride,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
        };

        // One after another, as the first of two rows.
        new RmsNormKernel(bench.Library, shape).Launch(bench.Stream, residual, gains, normed, RowCount.Of(2));
        linear.Launch(bench.Stream, product with { Output = outputs[0], Count = RowCount.Of(2) }, LinearKind.Streamed);
        new RopeCacheKernel(bench.Library, shape).Launch(bench.Stream, new RopeCacheArgs { QueryKeyValue = outputs[0], Count = RowCount.Of(1), Turn = turn });

        // At once.
        linear.LaunchSingle(bench.Stream, new GemvSm90Args
        {
            Linear = product with { Output = outputs[1], Count = RowCount.Of(1) },
            Residual = residual,
            Gains = gains,
            HiddenSize = hidden,
            Epsilon = (float)shape.Config.NormEpsilon,
            Turn = turn with { Keys = caches[1] },
        });
        Assert.Equal(bench.ReadStored(outputs[0], 2 * width)[..shape.QueryWidth], bench.ReadStored(outputs[1], 2 * width)[..shape.QueryWidth]);
        Assert.Equal(bench.ReadStored(caches[0], cache.Length), bench.ReadStored(caches[1], cache.Length));
    }

    [Theory]
    [InlineData(TensorType.BFloat16, 17, 4, 2, 64, 264)]
    [InlineData(TensorType.BFloat16, 200, 3, 1, 128, 136)]
    [InlineData(TensorType.Float16, 64, 5, 5, 128, 72)]

    // Tiles of 256 columns: two rows of tiles, and more of 128 columns than the GPU has multiprocessors.
    [InlineData(TensorType.BFloat16, 129, 60, 20, 128, 72)]
    [InlineData(TensorType.BFloat16, 130, 121, 40, 64, 72)]
    public void Many_rows_are_turned_on_the_way_to_the_same_bits(TensorType storage, int rows, int heads, int keyValueHeads, int headSize, int hidden)
    {
        using var bench = new KernelBench(storage);
        Assert.SkipUnless(KernelVariant.TakesHopper(bench.Context.Device.ComputeCapability), "The product of many rows for Hopper is chosen on compute capability 9.0 alone.");
        var shape = new DeviceShape(KernelBench.Config(hidden, 16, heads, keyValueHeads, headSize), storage);
        var linear = new LinearKernels(bench.Library, shape, bench.Context.Device);
        int width = shape.QueryKeyValueWidth;
        int stride = (2 * shape.KeyValueWidth) + 8;
        int[] slots = [.. Enumerable.Range(0, rows).Select(row => (row * 7 % rows) + 1)];
        float[] cache = bench.Numbers((rows + 2) * stride);
        var table = RotaryTable.Create(shape.Config, 2 * rows);
        ulong[] caches = [bench.Stored(cache), bench.Stored(cache)];
        ulong[] outputs = [bench.StoredFloats(rows * width), bench.StoredFloats(rows * width)];
        var product = new LinearArgs
        {
            Input = bench.StoredInput(bench.Numbers((long)rows * hidden), hidden),
            Weights = bench.Stored(bench.Numbers((long)width * hidden)),
            Output = outputs[0],
            Count = RowCount.Of(rows),
            N = width,
            K = hidden,
            OutputStride = width,
            Epilogue = LinearEpilogue.Store,
        };
        var turn = new TurnArgs
        {
            Keys = caches[0],
            Cosines = bench.Upload(table.Cosines),
            Sines = bench.Upload(table.Sines),
            Positions = bench.Upload<int>([.. Enumerable.Range(0, rows).Select(row => (2 * row) + 1)]),
            Slots = bench.Upload<int>(slots),
            SlotStride = stride,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
        };
        linear.Launch(bench.Stream, product);
        new RopeCacheKernel(bench.Library, shape).Launch(bench.Stream, new RopeCacheArgs { QueryKeyValue = outputs[0], Count = RowCount.Of(rows), Turn = turn });

        Assert.True(linear.Turns(rows));
        linear.LaunchTurning(bench.Stream, new GemmRopeSm90Args
        {
            Linear = product with { Output = outputs[1] },
            Turn = turn with { Keys = caches[1] },
        });
        float[] expected = bench.ReadStored(outputs[0], rows * width);
        float[] actual = bench.ReadStored(outputs[1], rows * width);
        for (int row = 0; row < rows; row++)
        {
            Assert.Equal(expected.AsSpan(row * width, shape.QueryWidth), actual.AsSpan(row * width, shape.QueryWidth));
        }

        Assert.Equal(bench.ReadStored(caches[0], cache.Length), bench.ReadStored(caches[1], cache.Length));
    }

    private static double[] Product(float[] input, float[] weights, int rows, int n, int k)
    {
        double[] result = new double[rows * n];
        Parallel.For(0, result.Length, i =>
        {
            double sum = 0;
            for (int j = 0; j < k; j++)
            {
                sum += (double)input[((long)(i / n) * k) + j] * weights[((long)(i % n) * k) + j];
            }

            result[i] = sum;
        });
        return result;
    }

    private static void Launch(KernelBench bench, float[] input, float[] weights, ulong output, (int Rows, int N, int K) size, int stride, LinearEpilogue epilogue, RowCount? count = null, LinearKind? kind = null)
    {
        var kernels = new LinearKernels(bench.Library, bench.Shape(64), bench.Context.Device);
        var args = new LinearArgs
        {
            Input = bench.StoredInput(input, size.K),
            Weights = bench.Stored(weights),
            Output = output,
            Count = count ?? RowCount.Of(size.Rows),
            N = size.N,
            K = size.K,
            OutputStride = stride,
            Epilogue = epilogue,
        };
        kernels.Launch(bench.Stream, args, kind ?? kernels.KindOf(args.Count.Limit));
    }

    /// <summary>The way that the engine takes for so many rows of one sequence, and that for rows of several.</summary>
    private static LinearKind?[] KindsFor(int rows) => rows <= LinearKernels.MaxStreamedRows ? [null, LinearKind.Streamed] : [null];
}
