namespace LazyLlm.Bench.CudaKernels;

/// <summary>The copy within the device that is the floor of everything bound by bytes. It runs first.</summary>
internal static class CopyKernels
{
    public const string Group = "copy";

    public static void Measure(KernelScene scene)
    {
        long bytes = scene.Sizes.CopyBytes;
        var row = new KernelRow { Group = Group, Kernel = "copy", Sizes = new Dictionary<string, int> { ["kib"] = (int)(bytes >> 10) }, Bytes = 2.0 * bytes, Peer = "copy" };
        double? seconds = scene.Measure(row, buffers =>
        {
            ulong from = buffers.Random(bytes).Pointer;
            ulong to = buffers.Empty(bytes).Pointer;
            return new KernelRun(() => scene.Stream.Copy(to, from, bytes));
        });
        scene.CopyRate = seconds is double time ? row.Bytes / time : 0;
    }
}
