using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// Dense and gathered attention, and the last row's importance. K and V lie as in a session under the schedule
/// <c>none</c>: those of all layers of a slot together, of which a launch reads one layer's. What a decode step does, with one
/// row or a few and the importance, is timed over all layers (<see cref="RecordedRuns"/>), with the counts on the device as
/// there; prompts and turns by one launch alone.
/// </summary>
internal static class AttentionRuns
{
    public const string Group = "attention";

    // More are a turn of a conversation, whose attention waits for no launch.
    private const int MostStepRows = 64;

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
        if (rows > MostStepRows)
        {
            scene.Measure(row, buffers =>
            {
                AttentionArgs args = WithOutput(buffers);
                return new KernelRun(() => kernels.Launch(scene.Stream, args));
            });
            return;
        }

        RecordedRuns.Measure(scene, row, buffers =>
        {
            AttentionArgs args = WithOutput(buffers);
            args.Count = CountOnDevice(buffers, rows, tokens, isGathered);
            return layer => kernels.Launch(scene.Stream, args with { Keys = KeysOf(shape, args, layer) });
        });

        AttentionArgs WithOutput(KernelScene.Buffers buffers) => Args(scene, buffers, rows, tokens, isGathered) with
        {
            Output = buffers.Empty(2L * rows * shape.QueryWidth).Pointer,
            Partials = buffers.Empty(Math.Max(256, kernels.ScratchBytes(CudaWorkspace.TokenBucket(rows), tokens))).Pointer,
        };
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
        var attention = new AttentionKernels(scene.Library, shape, scene.Context.Device);
        var kernels = new ImportanceKernels(scene.Library, shape, scene.Context.Device);
        RecordedRuns.Measure(scene, row, buffers =>
        {
            // What the row's attention leaves: one layer's does for all, of which no time depends.
            AttentionArgs args = Args(scene, buffers, 1, tokens, isGathered: true) with
            {
                Output = buffers.Empty(2L * shape.QueryWidth).Pointer,
                Partials = buffers.Empty(Math.Max(256, attention.ScratchBytes(1, tokens))).Pointer,
                NormalizedRows = 1,
                Normalizers = buffers.Empty(4L * shape.Config.HeadCount).Pointer,
            };
            args.Count = CountOnDevice(buffers, 1, tokens, isGathered: true);
            attention.Launch(scene.Stream, args);
            ulong importance = buffers.Empty(4L * tokens).Pointer;
            return layer => kernels.Launch(scene.Stream, args with { Keys = KeysOf(shape, args, layer) }, importance, 1, accumulate: false);
        });
    }

    private static ulong KeysOf(DeviceShape shape, in AttentionArgs args, int layer) => args.Keys + ((ulong)layer * (ulong)shape.KeyValueBytes);

    /// <summary>The counts of a step whose rows came last, as a recorded step reads them.</summary>
    private static RowCount CountOnDevice(KernelScene.Buffers buffers, int rows, int tokens, bool isGathered)
    {
        // The mirror of StepState, number by number.
        int[] state = [rows, tokens, 0, SlotCount(tokens, isGathered)];
        return RowCount.AtMost(CudaWorkspace.TokenBucket(rows), buffers.Integers(state).Pointer);
    }

    // A third of the context is kept: T's slots are spread over three times as many.
    private static int SlotCount(int tokens, bool isGathered) => isGathered ? 3 * tokens : tokens;

    private static AttentionArgs Args(KernelScene scene, KernelScene.Buffers buffers, int rows, int tokens, bool isGathered)
    {
        DeviceShape shape = scene.Shape;
        long stride = 2L * shape.KeyValueWidth * shape.Config.LayerCount;
        var args = new AttentionArgs
        {
            Queries = buffers.Random(2L * rows * shape.QueryKeyValueWidth).Pointer,
            Keys = buffers.Random(2L * SlotCount(tokens, isGathered) * stride).Pointer,
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
