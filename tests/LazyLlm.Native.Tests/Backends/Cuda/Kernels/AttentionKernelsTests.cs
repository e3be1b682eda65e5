using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

/// <summary>rope_cache.cu, attention_dense.cu, attention_gathered.cu and importance.cu against double arithmetic.</summary>
public class AttentionKernelsTests
{
    /// <summary>Query heads, K/V heads and head size: MHA and GQA, sizes that fill lanes and tiles and sizes that do not.</summary>
    private static readonly (int Heads, int KeyValueHeads, int HeadSize)[] Heads = [(2, 2, 64), (4, 2, 128), (3, 1, 8), (2, 2, 40), (12, 1, 16), (2, 1, 96)];

    public static IEnumerable<(TensorType Storage, int Heads)> Variants => TestShapes.AreSmall
        ? [(TensorType.BFloat16, 1), (TensorType.BFloat16, 3), (TensorType.Float16, 0), (TensorType.Float32, 2), (TensorType.Float32, 4)]
        : from storage in new[] { TensorType.BFloat16, TensorType.Float16, TensorType.Float32 } from heads in Enumerable.Range(0, Heads.Length) select (storage, heads);

    [Theory]
    [MemberData(nameof(Variants))]
    public void Rows_attend_to_all_up_to_themselves(TensorType storage, int heads)
    {
        // (rows, T): decode, a first prompt, a turn after others; around the sizes of warps, tiles and splits.
        foreach ((int rows, int tokens) in TestShapes.Of(
            [(1, 1), (1, 33), (1, 700), (2, 300), (16, 16), (17, 17), (33, 127), (65, 65), (64, 190), (4, 900), (40, 1100), (127, 131), (200, 330)],
            [(1, 300), (3, 300), (16, 16), (17, 17), (40, 600), (140, 270)]))
        {
            using var scene = new Scene(storage, Heads[heads], tokens, tokens);
            int[] places = [.. Enumerable.Range(tokens - rows, rows)];
            scene.Attend(places, slots: null);
        }
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Rows_attend_through_a_slot_list(TensorType storage, int heads)
    {
        foreach ((int rows, int tokens) in TestShapes.Of(
            [(1, 1), (1, 40), (3, 260), (7, 90), (16, 200), (18, 40), (12, 700), (64, 1060), (66, 150), (70, 90), (290, 700)],
            [(1, 1), (3, 260), (66, 150), (70, 90), (140, 300)]))
        {
            using var scene = new Scene(storage, Heads[heads], tokens, tokens + 37);
            int[] places = scene.Places(rows, tokens);
            scene.Attend(places, scene.Slots(tokens, tokens + 37));
        }
    }

    [Fact]
    public void Float32_rows_may_be_more_than_a_grid_is_deep()
    {
        // Every row sees two keys of equal scores, so that its result is the mean of their V.
        const int rows = 65_540;
        const int shown = 8;
        using var bench = new KernelBench(TensorType.Float32);
        var shape = new DeviceShape(KernelBench.Config(64, 16, 1, 1, 8), TensorType.Float32);
        float[] cache = new float[2 * 16];
        cache[8] = 1;
        ulong output = bench.Floats(rows * 8);
        new AttentionKernels(bench.Library, shape, bench.Context.Device).Launch(bench.Stream, new AttentionArgs
        {
            Queries = bench.Upload(new float[rows * shape.QueryKeyValueWidth]),
            Keys = bench.Upload(cache),
            Output = output,
            Slots = bench.Upload([0, 1]),
            Places = bench.Upload(Enumerable.Repeat(1, rows).ToArray()),
            Count = RowCount.Of(rows),
            SlotStride = 16,
            RowStride = shape.QueryKeyValueWidth,
            ValueOffset = 8,
            Heads = 1,
            KeyValueHeads = 1,
            TokenCount = 2,
            Scale = 1,
        });
        float[] result = bench.Read(output, rows * 8);
        foreach (int row in Enumerable.Range(0, shown).Concat(Enumerable.Range(rows - shown, shown)))
        {
            Assert.Equal(0.5f, result[row * 8], 1e-6f);
        }
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Importance_is_the_mean_attention_of_the_last_rows(TensorType storage, int heads)
    {
        foreach ((int queries, int tokens) in TestShapes.Of([(1, 1), (1, 31), (1, 600), (3, 130), (4, 257)], [(1, 1), (3, 257)]))
        {
            using var scene = new Scene(storage, Heads[heads], tokens, tokens + 11);
            int[] places = [.. scene.Places(Math.Min(tokens, queries + 2), tokens)];
            scene.Score(places, scene.Slots(tokens, tokens + 11), Math.Min(queries, places.Length), accumulate: false);
            scene.Score(places, scene.Slots(tokens, tokens + 11), 1, accumulate: true);
        }
    }

    [Theory]
    [InlineData(2, 2, 1, 40)] // several batches of keys at a time
    [InlineData(9, 48, 48, 16)] // and threads that have none
    [InlineData(2, 40, 40, 128)] // more heads than stand side by side, the last pass in part
    public void Importance_takes_keys_and_heads_in_turns(int queries, int heads, int keyValueHeads, int headSize)
    {
        const int tokens = 2300;
        using var scene = new Scene(TensorType.BFloat16, (heads, keyValueHeads, headSize), tokens, tokens + 11);
        scene.Score(scene.Places(queries + 1, tokens), scene.Slots(tokens, tokens + 11), queries, accumulate: false);
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Queries_and_keys_are_turned_by_their_positions(TensorType storage, int heads)
    {
        using var bench = new KernelBench(storage);
        (int headCount, int keyValueHeads, int size) = Heads[heads];
        var shape = new DeviceShape(KernelBench.Config(64, 16, headCount, keyValueHeads, size), storage);
        var table = RotaryTable.Create(shape.Config, 200);
        const int rows = 33;
        const int capacity = 50;
        int stride = (2 * shape.KeyValueWidth) + 24;
        int width = shape.QueryKeyValueWidth;
        float[] input = bench.Numbers(rows * width);
        int[] positions = bench.Positions(rows, 200);
        int[] slots = bench.Positions(rows, capacity);
        Array.Reverse(slots);
        ulong there = bench.Stored(input);
        ulong keys = bench.StoredFloats(capacity * stride);
        new RopeCacheKernel(bench.Library, shape).Launch(bench.Stream, new RopeCacheArgs
        {
            QueryKeyValue = there,
            Count = RowCount.Of(rows),
            Turn = new TurnArgs
            {
                Keys = keys,
                Cosines = bench.Upload(table.Cosines),
                Sines = bench.Upload(table.Sines),
                Positions = bench.Upload(positions),
                Slots = bench.Upload(slots),
                SlotStride = stride,
                Heads = headCount,
                KeyValueHeads = keyValueHeads,
            },
        });
        float[] turned = bench.ReadStored(there, input.Length);
        float[] cached = bench.ReadStored(keys, capacity * stride);
        for (int row = 0; row < rows; row++)
        {
            double[] expected = new double[width];
            for (int i = 0; i < width; i++)
            {
                int pair = i % size % (size / 2);
                bool isLow = i % size < size / 2;
                double angle = positions[row] * Math.Pow(shape.Config.RopeTheta, -2.0 * pair / size);
                double other = isLow ? -input[(row * width) + i + (size / 2 > width - i - 1 ? 0 : size / 2)] : input[(row * width) + i - (size / 2)];
                expected[i] = i < shape.QueryWidth + shape.KeyValueWidth ? (input[(row * width) + i] * Math.Cos(angle)) + (other * Math.Sin(angle)) : input[(row * width) + i];
            }

            KernelBench.AssertClose(expected[..shape.QueryWidth], turned[(row * width)..((row * width) + shape.QueryWidth)], bench.Rounding, 1e-5);
            int slot = slots[row] * stride;
            KernelBench.AssertClose(expected[shape.QueryWidth..], cached[slot..(slot + (2 * shape.KeyValueWidth))], bench.Rounding, 1e-5);
            Assert.All(cached[(slot + (2 * shape.KeyValueWidth))..(slot + stride)], value => Assert.True(float.IsNaN(value)));
        }
    }

    /// <summary>K and V of some slots, and what the kernels must make of them.</summary>
    private sealed class Scene : IDisposable
    {
        private readonly KernelBench _bench;
        private readonly DeviceShape _shape;
        private readonly int _tokens;
        private readonly int _stride;
        private readonly float[] _cache;
        private readonly ulong _cacheThere;
        private float[] _queries = [];

        public Scene(TensorType storage, (int Heads, int KeyValueHeads, int HeadSize) heads, int tokens, int slotCount)
        {
            _bench = new KernelBench(storage, seed: tokens);
            _shape = new DeviceShape(KernelBench.Config(64, 16, heads.Heads, heads.KeyValueHeads, heads.HeadSize), storage);
            _tokens = tokens;
            _stride = (2 * _shape.KeyValueWidth) + 16;
            _cache = _bench.Numbers((long)slotCount * _stride);
            // Large keys make sharp attention: without them the mean would hide a wrong weight.
            for (int slot = 0; slot < slotCount; slot += 5)
            {
                for (int i = 0; i < _shape.KeyValueWidth; i++)
                {
                    _cache[(slot * _stride) + i] *= 8;
                }
            }

            _cache = _bench.Rounded(_cache);
            _cacheThere = _bench.Stored(_cache);
        }

        public int[] Places(int rows, int tokens)
        {
            int[] places = _bench.Positions(rows, tokens);
            places[^1] = tokens - 1;
            return places;
        }

        public int[] Slots(int tokens, int slotCount)
        {
            int[] slots = _bench.Positions(tokens, slotCount);
            new Random(tokens).Shuffle(slots);
            return slots;
        }

        public void Attend(int[] places, int[]? slots)
        {
            var kernels = new AttentionKernels(_bench.Library, _shape, _bench.Context.Device);
            AttentionArgs args = Args(places, slots);
            int count = places.Length * _shape.QueryWidth;
            args.Output = _bench.StoredFloats(count);
            args.Partials = _bench.Floats(Math.Max(1, kernels.ScratchBytes(places.Length, _tokens) / sizeof(float)));
            kernels.Launch(_bench.Stream, args);
            double[] expected = [.. places.SelectMany((place, row) => Enumerable.Range(0, _shape.Config.HeadCount).SelectMany(head => Attention(row, head, place, slots)))];
            // Weights are rounded to the storage format before they meet V, and so is the result.
            float[] result = _bench.ReadStored(args.Output, count);
            KernelBench.AssertClose(expected, result, 2 * _bench.Rounding, (4 * _bench.Rounding) + 2e-6);
            float[] normalizers = _bench.Read(args.Normalizers, args.NormalizedRows * args.Heads);
            double[] logarithms =
            [
                .. Enumerable.Range(0, Math.Min(args.NormalizedRows, places.Length)).SelectMany(fromNewest => Enumerable.Range(0, args.Heads).Select(head =>
                    double.Log2(Scores(places.Length - 1 - fromNewest, head, places[^(fromNewest + 1)], slots).Sum(score => double.Exp2(score * args.Scale))))),
            ];
            KernelBench.AssertClose(logarithms, normalizers[..logarithms.Length], 0, 2e-5);
            Assert.All(normalizers[logarithms.Length..], value => Assert.True(float.IsNaN(value)));

            // With the counts on the device, as in a recorded stage: the same bits, whichever slots are said to be this step's.
            ulong again = _bench.StoredFloats(count);
            ulong state = _bench.Upload<StepState>([new StepState { Rows = places.Length, TokenCount = _tokens, SlotCount = places.Length + (_tokens / 2) }]);
            int bucket = CudaWorkspace.TokenBucket(places.Length);
            args.Partials = _bench.Floats(Math.Max(1, kernels.ScratchBytes(bucket, _tokens) / sizeof(float)));
            kernels.Launch(_bench.Stream, args with { Output = again, Count = RowCount.AtMost(bucket, state) });
            if (kernels.KindOf(args) == kernels.KindOf(args with { Count = RowCount.AtMost(bucket, state) }))
            {
                Assert.Equal(result, _bench.ReadStored(again, count));
                Assert.Equal(normalizers, _bench.Read(args.Normalizers, normalizers.Length));
            }
        }

        public void Score(int[] places, int[] slots, int queries, bool accumulate)
        {
            var attention = new AttentionKernels(_bench.Library, _shape, _bench.Context.Device);
            var kernels = new ImportanceKernels(_bench.Library, _shape, _bench.Context.Device);
            float[] before = _bench.Numbers(_tokens, 0.01f);
            AttentionArgs args = Args(places, slots, queries) with
            {
                Output = _bench.StoredFloats(places.Length * _shape.QueryWidth),
                Partials = _bench.Floats(Math.Max(1, attention.ScratchBytes(places.Length, _tokens) / sizeof(float))),
            };
            attention.Launch(_bench.Stream, args);
            float[] result = Launch(args);
            double[] expected = new double[_tokens];
            for (int row = places.Length - queries; row < places.Length; row++)
            {
                for (int head = 0; head < _shape.Config.HeadCount; head++)
                {
                    double[] weights = Weights(row, head, places[row], slots);
                    for (int i = 0; i < weights.Length; i++)
                    {
                        expected[i] += weights[i] / (_shape.Config.HeadCount * queries);
                    }
                }
            }

            if (accumulate)
            {
                expected = [.. expected.Zip(before, (a, b) => Math.Max(a, b))];
            }

            KernelBench.AssertClose(expected, result, 2e-5, 1e-8);

            // With the counts on the device, as in a recorded stage: the same bits, whichever slots are said to be this step's.
            ulong state = _bench.Upload<StepState>([new StepState { Rows = places.Length, TokenCount = _tokens, SlotCount = places.Length + (_tokens / 2) }]);
            Assert.Equal(result, Launch(args with { Count = RowCount.AtMost(CudaWorkspace.TokenBucket(places.Length), state) }));

            float[] Launch(AttentionArgs scoring)
            {
                ulong importance = accumulate ? _bench.Upload(before) : _bench.Floats(_tokens);
                kernels.Launch(_bench.Stream, scoring, importance, queries, accumulate);
                return _bench.Read(importance, _tokens);
            }
        }

        public void Dispose() => _bench.Dispose();

        private AttentionArgs Args(int[] places, int[]? slots, int scoring = 3)
        {
            _queries = _bench.Numbers((long)places.Length * _shape.QueryKeyValueWidth);
            return new AttentionArgs
            {
                Queries = _bench.Stored(_queries),
                Keys = _cacheThere,
                Slots = slots is null ? 0 : _bench.Upload(slots),
                Places = slots is null ? 0 : _bench.Upload(places),
                Count = RowCount.Of(places.Length),
                SlotStride = _stride,
                RowStride = _shape.QueryKeyValueWidth,
                ValueOffset = _shape.KeyValueWidth,
                Heads = _shape.Config.HeadCount,
                KeyValueHeads = _shape.Config.KeyValueHeadCount,
                TokenCount = _tokens,
                Scale = (float)(Math.Log2(Math.E) / Math.Sqrt(_shape.Config.HeadSize)),
                NormalizedRows = scoring,
                Normalizers = _bench.Floats(scoring * _shape.Config.HeadCount),
            };
        }

        private double[] Weights(int row, int head, int place, int[]? slots)
        {
            double[] scores = Scores(row, head, place, slots);
            double top = scores.Max();
            double[] weights = [.. scores.Select(s => Math.Exp((s - top) / Math.Sqrt(_shape.Config.HeadSize)))];
            double sum = weights.Sum();
            return [.. weights.Select(w => w / sum)];
        }

        private double[] Scores(int row, int head, int place, int[]? slots)
        {
            int size = _shape.Config.HeadSize;
            int keyHead = head / (_shape.Config.HeadCount / _shape.Config.KeyValueHeadCount);
            double[] scores = new double[place + 1];
            for (int j = 0; j <= place; j++)
            {
                int slot = slots is null ? j : slots[j];
                for (int d = 0; d < size; d++)
                {
                    scores[j] += (double)_queries[(row * _shape.QueryKeyValueWidth) + (head * size) + d] * _cache[(slot * _stride) + (keyHead * size) + d];
                }
            }

            return scores;
        }

        private double[] Attention(int row, int head, int place, int[]? slots)
        {
            int size = _shape.Config.HeadSize;
            int keyHead = head / (_shape.Config.HeadCount / _shape.Config.KeyValueHeadCount);
            double[] weights = Weights(row, head, place, slots);
            double[] result = new double[size];
            for (int j = 0; j <= place; j++)
            {
                int slot = slots is null ? j : slots[j];
                for (int d = 0; d < size; d++)
                {
                    result[d] += weights[j] * _cache[(slot * _stride) + _shape.KeyValueWidth + (keyHead * size) + d];
                }
            }

            return result;
        }
    }
}
