using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

/// <summary>
/// Rows more than 2^32 numbers into an array, as caches of long contexts have them: an index of 32 bits would go wrong. No such
/// array is made. The address given is as far before the rows as their number says, so that only they are touched.
/// </summary>
public class FarRowsTests
{
    private const int Far = 5_000_000;
    private const int Width = 1024;

    private static readonly int[] Positions = [1, 2, 5];

    public static TheoryData<TensorType> Formats => KernelBench.Formats;

    [Fact]
    public void Aux_rows()
    {
        using var bench = new KernelBench(TensorType.Float32);
        DeviceShape shape = bench.Shape(Width);
        ulong aux = bench.Upload(bench.Numbers(8 * Width));
        ulong farAux = Before(aux, Width * sizeof(float));
        ulong far = bench.Upload(Moved(Positions));
        int count = Positions.Length * Width;
        var rows = new RowsKernels(bench.Library, shape);
        ulong expected = bench.Floats(count);
        rows.Gather(bench.Stream, aux, expected, bench.Upload(Positions), RowCount.Of(Positions.Length));
        ulong gathered = bench.Floats(count);
        rows.Gather(bench.Stream, farAux, gathered, far, RowCount.Of(Positions.Length));
        Assert.Equal(bench.Read(expected, count), bench.Read(gathered, count));

        ulong residual = bench.Floats(count);
        new RmsNormKernel(bench.Library, shape).LaunchGathering(bench.Stream, farAux, far, residual, bench.Upload(bench.Numbers(Width)), bench.StoredFloats(count), RowCount.Of(Positions.Length));
        Assert.Equal(bench.Read(expected, count), bench.Read(residual, count));

        float[] changed = bench.Numbers(count);
        rows.Scatter(bench.Stream, farAux, bench.Upload(changed), far, RowCount.Of(Positions.Length));
        rows.Gather(bench.Stream, aux, gathered, bench.Upload(Positions), RowCount.Of(Positions.Length));
        Assert.Equal(changed, bench.Read(gathered, count));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Rows_of_the_embedding(TensorType storage)
    {
        using var bench = new KernelBench(storage);
        var kernel = new EmbedKernel(bench.Library, bench.Shape(Width));
        ulong table = bench.Stored(bench.Numbers(8 * Width));
        int count = Positions.Length * Width;
        ulong near = bench.Floats(count);
        ulong far = bench.Floats(count);
        kernel.Launch(bench.Stream, table, near, 0, Positions);
        kernel.Launch(bench.Stream, Before(table, Width * TensorConversion.SizeOf(storage)), Before(far, Width * sizeof(float)), Far, Moved(Positions));
        Assert.Equal(bench.Read(near, count), bench.Read(far, count));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Slots_of_a_stage_cache(TensorType storage)
    {
        const int capacity = 80;
        const int tokens = 70;
        using var bench = new KernelBench(storage);
        var shape = new DeviceShape(KernelBench.Config(64, 16, 2, 1, 64), storage);
        ulong near = bench.Stored(bench.Numbers(capacity * Width));
        ulong far = Before(near, Width * TensorConversion.SizeOf(storage));
        int[] slots = bench.Positions(tokens, capacity);
        new Random(1).Shuffle(slots);
        ulong nearSlots = bench.Upload(slots);
        ulong farSlots = bench.Upload(Moved(slots));
        foreach (int rows in new[] { 1, 3, tokens - 3 })
        {
            int[] places = [.. Enumerable.Range(tokens - rows, rows)];
            var args = new AttentionArgs
            {
                Queries = bench.Stored(bench.Numbers(rows * shape.QueryKeyValueWidth)),
                Places = bench.Upload(places),
                Count = RowCount.Of(rows),
                SlotStride = Width,
                RowStride = shape.QueryKeyValueWidth,
                ValueOffset = shape.KeyValueWidth,
                Heads = 2,
                KeyValueHeads = 1,
                TokenCount = tokens,
                Scale = 0.18f,
                NormalizedRows = 1,
                Normalizers = bench.Floats(2),
            };
            Assert.Equal(Attend(args with { Keys = near, Slots = nearSlots }), Attend(args with { Keys = far, Slots = farSlots }));
            Assert.Equal(Score(args with { Keys = near, Slots = nearSlots }), Score(args with { Keys = far, Slots = farSlots }));
            Assert.Equal(Cache(args.Queries, near, nearSlots, rows), Cache(args.Queries, far, farSlots, rows));
        }

        float[] Attend(AttentionArgs args)
        {
            var kernels = new AttentionKernels(bench.Library, shape, bench.Context.Device);
            args.Output = bench.StoredFloats(args.Count.Limit * shape.QueryWidth);
            args.Partials = bench.Floats(1 + (kernels.ScratchBytes(args.Count.Limit, tokens) / sizeof(float)));
            kernels.Launch(bench.Stream, args);
            return bench.ReadStored(args.Output, args.Count.Limit * shape.QueryWidth);
        }

        float[] Score(AttentionArgs args)
        {
            // Of what its attention left, which lies where the rows lie.
            Attend(args);
            ulong importance = bench.Floats(tokens);
            new ImportanceKernels(bench.Library, shape, bench.Context.Device).Launch(bench.Stream, args, importance, 1, accumulate: false);
            return bench.Read(importance, tokens);
        }

        float[] Cache(ulong queries, ulong keys, ulong slotsThere, int rows)
        {
            bench.Stream.Fill(near, 0, (long)capacity * Width * TensorConversion.SizeOf(storage));
            ulong angles = bench.Upload(bench.Numbers(capacity * shape.Config.HeadSize / 2));
            ulong copy = bench.StoredFloats(rows * shape.QueryKeyValueWidth);
            bench.Stream.Copy(copy, queries, (long)rows * shape.QueryKeyValueWidth * TensorConversion.SizeOf(storage));
            bench.Stream.Fill(angles, 0x3F, (long)capacity * shape.Config.HeadSize / 2 * sizeof(float));
            new RopeCacheKernel(bench.Library, shape).Launch(bench.Stream, new RopeCacheArgs
            {
                QueryKeyValue = copy,
                Count = RowCount.Of(rows),
                Turn = new TurnArgs
                {
                    Keys = keys,
                    Cosines = angles,
                    Sines = angles,
                    Positions = nearSlots,
                    Slots = slotsThere,
                    SlotStride = Width,
                    Heads = 2,
                    KeyValueHeads = 1,
                },
            });
            float[] cached = bench.ReadStored(near, capacity * Width);
            Assert.Contains(cached, value => value != 0);
            return cached;
        }
    }

    private static int[] Moved(int[] rows) => [.. rows.Select(row => Far + row)];

    private static ulong Before(ulong address, int rowBytes) => address - ((ulong)Far * (ulong)rowBytes);
}
