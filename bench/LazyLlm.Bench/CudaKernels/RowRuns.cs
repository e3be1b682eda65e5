using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>What works row by row: gather and scatter of Aux rows, norms, rotation into the K/V cache, embedding, the highest logit.</summary>
internal static class RowRuns
{
    public const string Group = "rows";

    public static void Measure(KernelScene scene)
    {
        DeviceShape shape = scene.Shape;
        var rowsKernels = new RowsKernels(scene.Library, shape);
        var norm = new RmsNormKernel(scene.Library, shape);
        foreach (int rows in scene.Sizes.RowCounts)
        {
            RowCount count = RowCount.Of(rows);
            double numbers = (double)rows * shape.Hidden;
            Row("gather_rows", rows, 8 * numbers, "index_select", (buffers, aux, residual, positions) => () => rowsKernels.Gather(scene.Stream, aux, residual, positions, count));
            Row("scatter_rows", rows, 8 * numbers, "index_copy", (buffers, aux, residual, positions) => () => rowsKernels.Scatter(scene.Stream, aux, residual, positions, count));
            Row("rms_norm", rows, 6 * numbers, "rms_norm", (buffers, aux, residual, positions) =>
            {
                (ulong gains, ulong normed) = (buffers.Random(4L * shape.Hidden).Pointer, buffers.Empty(2L * rows * shape.Hidden).Pointer);
                return () => norm.Launch(scene.Stream, residual, gains, normed, count);
            });
            Row("rms_norm_gathering", rows, 10 * numbers, null, (buffers, aux, residual, positions) =>
            {
                (ulong gains, ulong normed) = (buffers.Random(4L * shape.Hidden).Pointer, buffers.Empty(2L * rows * shape.Hidden).Pointer);
                return () => norm.LaunchGathering(scene.Stream, aux, positions, residual, gains, normed, count);
            });
            Rotate(scene, rows);
            Embed(scene, rows);
        }

        ArgMax(scene);

        void Row(string name, int rows, double bytes, string? peer, Func<KernelScene.Buffers, ulong, ulong, ulong, Action> launch) => scene.Measure(
            new KernelRow { Group = Group, Kernel = name, Sizes = new Dictionary<string, int> { ["rows"] = rows }, Bytes = bytes + (4.0 * rows), Peer = peer },
            buffers =>
            {
                // Every second position: rows are not neighbours, as a selection's are not.
                ulong aux = buffers.Random(2L * rows * shape.Hidden * sizeof(float)).Pointer;
                ulong residual = buffers.Random((long)rows * shape.Hidden * sizeof(float)).Pointer;
                ulong positions = buffers.Integers([.. Enumerable.Range(0, rows).Select(row => 2 * row)]).Pointer;
                return new KernelRun(launch(buffers, aux, residual, positions));
            });
    }

    private static void Rotate(KernelScene scene, int rows)
    {
        DeviceShape shape = scene.Shape;
        var kernel = new RopeCacheKernel(scene.Library, shape);
        long stride = 2L * shape.KeyValueWidth * shape.Config.LayerCount;

        // QKV rows and the rotary table are read, Q is written in place, K and V into the cache.
        double bytes = rows * ((2.0 * shape.QueryKeyValueWidth) + (4.0 * shape.Config.HeadSize) + (2.0 * shape.QueryWidth) + shape.KeyValueBytes);
        scene.Measure(
            new KernelRow { Group = Group, Kernel = "rope_to_cache", Sizes = new Dictionary<string, int> { ["rows"] = rows }, Bytes = bytes },
            buffers =>
            {
                ulong list = buffers.Integers([.. Enumerable.Range(0, rows)]).Pointer;
                DeviceBuffer rotary = buffers.Random(4L * rows * shape.Config.HeadSize);
                var args = new RopeCacheArgs
                {
                    QueryKeyValue = buffers.Random(2L * rows * shape.QueryKeyValueWidth).Pointer,
                    Count = RowCount.Of(rows),
                    Turn = new TurnArgs
                    {
                        Keys = buffers.Empty(2L * rows * stride).Pointer,
                        Cosines = rotary.Pointer,
                        Sines = rotary.At(rotary.Bytes / 2),
                        Positions = list,
                        Slots = list,
                        SlotStride = stride,
                        Heads = shape.Config.HeadCount,
                        KeyValueHeads = shape.Config.KeyValueHeadCount,
                    },
                };
                return new KernelRun(() => kernel.Launch(scene.Stream, args));
            });
    }

    private static void Embed(KernelScene scene, int rows)
    {
        DeviceShape shape = scene.Shape;
        var kernel = new EmbedKernel(scene.Library, shape);
        int vocabulary = shape.Config.VocabularySize;
        scene.Measure(
            new KernelRow { Group = Group, Kernel = "embed", Sizes = new Dictionary<string, int> { ["rows"] = rows }, Bytes = 6.0 * rows * shape.Hidden, Peer = "embedding" },
            buffers =>
            {
                ulong table = buffers.Random(2L * vocabulary * shape.Hidden).Pointer;
                ulong aux = buffers.Empty(4L * rows * shape.Hidden).Pointer;
                var random = new Random(1);
                int[] tokens = [.. Enumerable.Range(0, rows).Select(_ => random.Next(vocabulary))];
                return new KernelRun(() => kernel.Launch(scene.Stream, table, aux, 0, tokens));
            });
    }

    private static void ArgMax(KernelScene scene)
    {
        int count = scene.Shape.Config.VocabularySize;
        var kernel = new SampleKernel(scene.Library);
        scene.Measure(
            new KernelRow { Group = Group, Kernel = "arg_max", Sizes = new Dictionary<string, int> { ["count"] = count }, Bytes = 4.0 * count, Peer = "argmax" },
            buffers =>
            {
                ulong logits = buffers.Random(4L * count).Pointer;
                ulong token = buffers.Empty(256).Pointer;
                return new KernelRun(() => kernel.LaunchArgMax(scene.Stream, logits, token, count));
            });
    }
}
