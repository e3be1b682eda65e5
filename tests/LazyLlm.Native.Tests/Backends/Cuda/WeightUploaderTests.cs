using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

public class WeightUploaderTests
{
    // The ring's slots are 64 KiB here, so the larger shapes take several and the widest row takes more than one.
    public static MatrixTheoryData<TensorType, TensorType, (int Rows, int Columns)> Cases => new(
        [TensorType.Float32, TensorType.BFloat16, TensorType.Float16],
        [TensorType.Float32, TensorType.BFloat16],
        [(1, 1), (3, 37), (172, 64), (176, 65), (9, 20000)]);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Matrices_arrive_converted_and_padded(TensorType file, TensorType storage, (int Rows, int Columns) size)
    {
        using var bench = new KernelBench(storage);
        var tensor = new ArrayTensor(file, size.Rows, size.Columns, 1);
        int rows = DeviceShape.RoundUp(size.Rows);
        int columns = DeviceShape.RoundUp(size.Columns);
        ulong target = bench.StoredFloats(rows * columns);
        using (var uploader = new WeightUploader(bench.Stream, storage, 0, null, default))
        {
            uploader.UploadMatrix(target, tensor, rows, columns);
            uploader.Finish();
        }

        float[] expected = [.. Enumerable.Range(0, rows * columns).Select(i => tensor.At(i / columns, i % columns))];
        Assert.Equal(bench.Rounded(expected), bench.ReadStored(target, rows * columns));
    }

    [Theory]
    [InlineData(172)]
    [InlineData(8)]
    [InlineData(1)]
    public void Gate_and_up_alternate_by_eight_rows(int rows)
    {
        const int columns = 40;
        using var bench = new KernelBench(TensorType.Float32);
        var gate = new ArrayTensor(TensorType.Float32, rows, columns, 1);
        var up = new ArrayTensor(TensorType.Float32, rows, columns, 2);
        int padded = DeviceShape.RoundUp(rows);
        ulong target = bench.Floats(2 * padded * columns);
        using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default))
        {
            uploader.UploadAlternating(target, gate, up, padded, columns);
            uploader.Finish();
        }

        float[] result = bench.Read(target, 2 * padded * columns);
        for (int i = 0; i < result.Length; i++)
        {
            int row = i / columns;
            ArrayTensor source = row / 8 % 2 == 0 ? gate : up;
            Assert.Equal(source.At((row / 16 * 8) + (row % 8), i % columns), result[i]);
        }
    }

    [Fact]
    public void Progress_counts_the_files_bytes_and_cancellation_is_heard()
    {
        using var bench = new KernelBench(TensorType.BFloat16);
        var tensor = new ArrayTensor(TensorType.Float32, 800, 100, 1);
        var seen = new List<LoadProgress>();
        using var cancellation = new CancellationTokenSource();
        using var uploader = new WeightUploader(bench.Stream, TensorType.BFloat16, tensor.ByteLength, new Recorder(seen), cancellation.Token);
        uploader.UploadMatrix(bench.StoredFloats(800 * 104), tensor, 800, 104);
        uploader.Finish();
        Assert.Equal(new LoadProgress(tensor.ByteLength, tensor.ByteLength), seen[^1]);
        cancellation.Cancel();
        Assert.Throws<OperationCanceledException>(() => uploader.UploadMatrix(bench.StoredFloats(800 * 104), tensor, 800, 104));
    }

    [Fact]
    public void A_read_that_fails_in_the_middle_is_told_and_leaves_nothing()
    {
        using var bench = new KernelBench(TensorType.BFloat16);
        ulong target = bench.StoredFloats(4000 * 104);
        long before = bench.Context.Memory.PinnedBytesInUse;
        using (var uploader = new WeightUploader(bench.Stream, TensorType.BFloat16, 1 << 16, null, default))
        {
            var error = Assert.Throws<ModelFormatException>(() =>
            {
                uploader.UploadMatrix(target, new BrokenTensor(4000, 100), 4000, 104);
                uploader.Finish();
            });
            Assert.Equal("model.safetensors: cut off", error.Message);
        }

        Assert.Equal(before, bench.Context.Memory.PinnedBytesInUse);
    }

    private sealed class BrokenTensor(int rows, int columns) : WeightTensor
    {
        public override string Name => "broken";

        public override TensorType Type => TensorType.Float32;

        public override int Rows => rows;

        public override int Columns => columns;

        public override void Read(long byteOffset, Span<byte> destination)
        {
            if (byteOffset > ByteLength / 2)
            {
                throw new ModelFormatException("model.safetensors", "cut off");
            }
        }
    }

    private sealed class Recorder(List<LoadProgress> seen) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => seen.Add(value);
    }

    private sealed class ArrayTensor(TensorType type, int rows, int columns, int seed) : WeightTensor
    {
        private readonly byte[] _bytes = Fill(type, rows * columns, seed);

        public override string Name => "test";

        public override TensorType Type => type;

        public override int Rows => rows;

        public override int Columns => columns;

        /// <summary>A number, or the zero that pads.</summary>
        public float At(int row, int column)
        {
            if (row >= rows || column >= columns)
            {
                return 0;
            }

            float number = 0;
            TensorConversion.Convert(_bytes.AsSpan(((row * columns) + column) * ElementSize, ElementSize), type, MemoryMarshal.AsBytes(new Span<float>(ref number)), TensorType.Float32);
            return number;
        }

        public override void Read(long byteOffset, Span<byte> destination) => _bytes.AsSpan((int)byteOffset, destination.Length).CopyTo(destination);

        private static byte[] Fill(TensorType type, int count, int seed)
        {
            var random = new Random(seed);
            float[] numbers = new float[count];
            for (int i = 0; i < count; i++)
            {
                numbers[i] = random.NextSingle() - 0.5f;
            }

            byte[] bytes = new byte[count * TensorConversion.SizeOf(type)];
            TensorConversion.Convert(MemoryMarshal.AsBytes(numbers.AsSpan()), TensorType.Float32, bytes, type);
            return bytes;
        }
    }
}
