using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// Measures what a decode step does in every layer as the step does it: once per layer, over the layer's own K/V, recorded as a
/// graph. The time is that of the graph divided by the launches, so that neither the latency of the first launch counts nor the
/// level-2 cache, which all layers' bytes together exceed.
/// </summary>
internal static class RecordedRuns
{
    /// <summary>Sets up and measures one row.</summary>
    /// <param name="scene">The device.</param>
    /// <param name="row">What it is, without its time: bytes and operations of one launch.</param>
    /// <param name="set">Makes the buffers, which the scene frees, and returns what enqueues a layer's work.</param>
    public static void Measure(KernelScene scene, KernelRow row, Func<KernelScene.Buffers, Action<int>> set)
    {
        int layers = scene.Shape.Config.LayerCount;
        CudaGraphExec? recorded = null;
        try
        {
            scene.Measure(row, buffers =>
            {
                Action<int> launch = set(buffers);
                using CudaGraph graph = CudaGraph.Capture(scene.Stream, () =>
                {
                    for (int layer = 0; layer < layers; layer++)
                    {
                        launch(layer);
                    }
                });
                recorded = new CudaGraphExec(graph);
                recorded.Upload(scene.Stream);
                return new KernelRun(() => recorded.Launch(scene.Stream), Launches: layers);
            });
        }
        finally
        {
            recorded?.Dispose();
        }
    }
}
