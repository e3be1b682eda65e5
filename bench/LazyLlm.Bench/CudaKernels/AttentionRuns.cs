using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// Dense and gathered attention, and the last row's importance. K and V lie as in a session under the schedule
/// <c>none</c>: those of all layers of a slot together, of which a launch reads one layer's.
/// </summary>
internal static class AttentionRuns
{
    public const string Group = "attention";

    public static void Measure(KernelScene scene)
    {
        KernelSizes sizes = scene.Sizes;
        foreach (int tokens in sizes.Prompts)
        {
            Attend(scene, "attend_dense", tokens, tokens, isGathered: false, "sdpa_causal");
        }

        // A turn after a prompt, and decode steps.
        Attend(scene, "attend_dense", sizes.Prompts[0], sizes.Prompts[0] + sizes.Contexts[^2], isGathered: false, peer: null);
        foreach (int tokens in sizes.Contexts)
        {
            Attend(scene, "attend_dense", 1, tokens, isGathered: false, "sdpa_one");
        }

        foreach (int tokens in sizes.Contexts)
        {
            Attend(scene, "attend_gathered", 1, tokens, isGathered: true, "sdpa_gathered_one");
        }

        foreach (int rows in sizes.GatheredRows)
        {
            Attend(scene, "attend_gathered", rows, sizes.Contexts[0], isGathered: true, peer: null);
        }

        foreach (int tokens in sizes.Contexts)
        {
            Score(scene, tokens);
        }
    }

    private static void Attend(KernelScene scene, string name, int rows, int tokens, bool isGathered, string? peer)
    {
        DeviceShape shape = scene.Shape;
        double rowsBytes = 2.0 * rows * (shape.QueryWidth + shape.QueryWidth);

        // Rows are the last of T: each attends to all before it and to itself.
        double pairs = (rows * ((double)tokens - rows)) + (rows * (rows + 1.0) / 2);
        var row = new KernelRow
        {
            Group = Group,
            Kernel = name,
            Sizes = new Dictionary<string, int> { ["rows"] = rows, ["tokens"] = tokens },
            Bytes = (tokens * (double)shape.KeyValueBytes) + rowsBytes,
            Operations = 4.0 * pairs * shape.QueryWidth,
            Peer = peer,
        };
        var kernels = new AttentionKernels(scene.Library, shape, scene.Context.Device);
        scene.Measure(row, buffers =>
        {
            AttentionArgs args = Args(scene, buffers, rows, tokens, isGathered) with
            {
                Output = buffers.Empty(2L * rows * shape.QueryWidth).Pointer,
                Partials = buffers.Empty(Math.Max(256, kernels.ScratchBytes(CudaWorkspace.TokenBucket(rows), tokens))).Pointer,
            };
            return new KernelRun(() => kernels.Launch(scene.Stream, args));
        });
    }

    private static void Score(KernelScene scene, int tokens)
    {
        DeviceShape shape = scene.Shape;
        var row = new KernelRow
        {
            Group = Group,
            Kernel = "score_last",
            Sizes = new Dictionary<string, int> { ["tokens"] = tokens },
            Bytes = (tokens * (double)shape.KeyValueBytes / 2) + (4.0 * tokens),
            Peer = "importance",
        };
        var kernels = new ImportanceKernels(scene.Library, shape);
        scene.Measure(row, buffers =>
        {
            AttentionArgs args = Args(scene, buffers, 1, tokens, isGathered: true);
            ulong importance = buffers.Empty(4L * tokens).Pointer;
            ulong scratch = buffers.Empty(kernels.ScratchBytes(1, tokens)).Pointer;
            return new KernelRun(() => kernels.Launch(scene.Stream, args, importance, scratch, 1, accumulate: false));
        });
    }

    private static AttentionArgs Args(KernelScene scene, KernelScene.Buffers buffers, int rows, int tokens, bool isGathered)
    {
        DeviceShape shape = scene.Shape;

        // A third of the context is kept: T's slots are spread over three times as many.
        int slotCount = isGathered ? 3 * tokens : tokens;
        long stride = 2L * shape.KeyValueWidth * shape.Config.LayerCount;
        var args = new AttentionArgs
        {
            Queries = buffers.Random(2L * rows * shape.QueryKeyValueWidth).Pointer,
            Keys = buffers.Random(2L * slotCount * stride).Pointer,
            Count = RowCount.Of(rows),
            SlotStride = stride,
            RowStride = shape.QueryKeyValueWidth,
            ValueOffset = shape.KeyValueWidth,
            Heads = shape.Config.HeadCount,
            KeyValueHeads = shape.Config.KeyValueHeadCount,
            TokenCount = tokens,
            Scale = (float)(Math.Log2(Math.E) / Math.Sqrt(shape.Config.HeadSize)),
        };
        if (!isGathered)
        {
            return args;
        }

        var random = new Random(tokens);
        int[] slots = [.. Enumerable.Range(0, tokens).Select(place => (3 * place) + random.Next(3))];
        int[] places = [.. Enumerable.Range(tokens - rows, rows)];
        return args with { Slots = buffers.Integers(slots).Pointer, Places = buffers.Integers(places).Pointer };
    }
}
