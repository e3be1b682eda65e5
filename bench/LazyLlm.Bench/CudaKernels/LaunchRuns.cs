using System.Diagnostics;
using LazyLlm.Evaluation;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// What a launch costs whatever it does, by a kernel that copies one row: alone, behind another, within a recorded graph,
/// and the time of the host's call. A step of decode is hundreds of launches.
/// </summary>
internal static class LaunchRuns
{
    public const string Group = "launch";

    public static void Measure(KernelScene scene)
    {
        int launches = scene.Sizes.Launches;
        var kernels = new RowsKernels(scene.Library, scene.Shape);
        scene.Measure(Row("launch_alone", 1), buffers => new KernelRun(Launch(buffers)));
        scene.Measure(Row("launch_behind_another", launches), buffers =>
        {
            Action one = Launch(buffers);
            return new KernelRun(() => Repeat(one, launches), Launches: launches);
        });

        CudaGraphExec? recorded = null;
        try
        {
            scene.Measure(Row("launch_in_graph", launches), buffers =>
            {
                Action one = Launch(buffers);
                using CudaGraph graph = CudaGraph.Capture(scene.Stream, () => Repeat(one, launches));
                recorded = new CudaGraphExec(graph);
                recorded.Upload(scene.Stream);
                return new KernelRun(() => recorded.Launch(scene.Stream), Launches: launches);
            });
        }
        finally
        {
            recorded?.Dispose();
        }

        TimeHost(scene, launches, Launch);

        Action Launch(KernelScene.Buffers buffers)
        {
            ulong aux = buffers.Random(4L * scene.Shape.Hidden).Pointer;
            ulong residual = buffers.Empty(4L * scene.Shape.Hidden).Pointer;
            ulong position = buffers.Integers([0]).Pointer;
            return () => kernels.Gather(scene.Stream, aux, residual, position, RowCount.Of(1));
        }
    }

    /// <summary>The host's call alone: fewer launches than the queue holds, so that none waits for the device.</summary>
    private static void TimeHost(KernelScene scene, int launches, Func<KernelScene.Buffers, Action> launch)
    {
        using var buffers = new KernelScene.Buffers(scene);
        Action one = launch(buffers);
        double Once()
        {
            scene.Stream.Synchronize();
            long start = Stopwatch.GetTimestamp();
            Repeat(one, launches);
            return Stopwatch.GetElapsedTime(start).TotalMicroseconds / launches;
        }

        Once();
        scene.Add(Row("launch_call_on_host", launches) with { Us = Median.Of([.. Enumerable.Range(0, scene.Sizes.Repetitions).Select(_ => Once())]) });
        scene.Stream.Synchronize();
    }

    private static KernelRow Row(string name, int launches) => new() { Group = Group, Kernel = name, Sizes = new Dictionary<string, int> { ["launches"] = launches } };

    private static void Repeat(Action action, int times)
    {
        for (int i = 0; i < times; i++)
        {
            action();
        }
    }
}
