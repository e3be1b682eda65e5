using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// The choice of the positions that a stage sees, at its first fill: a third of them stay. Several choices are timed one behind
/// another, so that the latency of the first launch does not count; each finds no position in the stage, as a first fill does.
/// </summary>
internal static class SelectionRuns
{
    public const string Group = "selection";

    private const int Launches = 16;

    public static void Measure(KernelScene scene)
    {
        var kernels = new SelectKernels(scene.Library);
        foreach (int count in scene.Sizes.Selections)
        {
            int keep = (int)Math.Ceiling(0.343 * count);

            // Scores and positions are read; six lists are written, and slotOf where a position stays.
            var row = new KernelRow
            {
                Group = Group,
                Kernel = "select_tokens",
                Sizes = new Dictionary<string, int> { ["tokens"] = count, ["keep"] = keep },
                Bytes = (8.0 * count) + (24.0 * keep),
                Peer = "topk",
            };
            scene.Measure(row, buffers =>
            {
                long listBytes = 4L * count;
                long slotOfBytes = (listBytes + 255) / 256 * 256;
                ulong slotOf = buffers.Empty(Launches * slotOfBytes).Pointer;
                var random = new Random(1);
                float[] scores = [.. Enumerable.Range(0, count).Select(_ => random.NextSingle())];
                ulong importance = buffers.Empty(listBytes).Pointer;
                scene.Stream.UploadNow<float>(importance, scores);
                var args = new SelectArgs
                {
                    Importance = importance,
                    Positions = buffers.Integers([.. Enumerable.Range(0, count)]).Pointer,
                    NextPositions = buffers.Empty(listBytes).Pointer,
                    NextSlots = buffers.Empty(listBytes).Pointer,
                    ComputePositions = buffers.Empty(listBytes).Pointer,
                    ComputeSlots = buffers.Empty(listBytes).Pointer,
                    ComputePlaces = buffers.Empty(listBytes).Pointer,
                    Keys = buffers.Empty(listBytes).Pointer,
                    Shared = buffers.Empty(SelectKernels.SharedBytes).Pointer,
                    State = buffers.Empty(256).Pointer,
                    Count = count,
                    KeepCount = keep,
                    Length = count,
                    Pool = 1,
                    KeepRecent = 1,
                };
                return new KernelRun(Launch, () => scene.Stream.Fill(slotOf, 0xFF, Launches * slotOfBytes), Launches);

                void Launch()
                {
                    for (ulong i = 0; i < Launches; i++)
                    {
                        kernels.LaunchSelect(scene.Stream, args with { SlotOf = slotOf + (i * (ulong)slotOfBytes) });
                    }
                }
            });
        }
    }
}
