using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>Work that was recorded from a stream instead of run. Addresses and parameters are those of the recording.</summary>
internal sealed class CudaGraph : CudaResource
{
    // Other threads may allocate and copy while this one records.
    private const int CaptureThisThread = 1;

    private CudaGraph(CudaContext context)
        : base(context)
    {
    }

    /// <summary>Records what an action enqueues on a stream. Nothing runs; waiting inside the action is an error.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="record">Enqueues the work, on this thread.</param>
    public static CudaGraph Capture(CudaStream stream, Action record)
    {
        CudaContext context = stream.Context;
        context.Enter();
        context.Check(CudaDriver.cuStreamBeginCapture_v2(stream.Native, CaptureThisThread));
        stream.IsCapturing = true;
        var graph = new CudaGraph(context);
        try
        {
            record();
            CuResult result = End(stream, graph);
            context.Check(result, call: nameof(CudaDriver.cuStreamEndCapture));
            return graph;
        }
        catch
        {
            if (stream.IsCapturing)
            {
                // The stream leaves capture mode; what it recorded so far is thrown away.
                End(stream, graph);
            }

            graph.Dispose();
            throw;
        }
    }

    private static CuResult End(CudaStream stream, CudaGraph graph)
    {
        CuResult result = CudaDriver.cuStreamEndCapture(stream.Native, out nint native);
        stream.IsCapturing = false;
        if (native != 0)
        {
            graph.Own(native);
        }

        return result;
    }

    private protected override void Free(nint native) => CudaDriver.cuGraphDestroy(native);
}
