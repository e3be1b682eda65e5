using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>A graph that is ready to run, with one call for all its kernels.</summary>
internal sealed class CudaGraphExec : CudaResource
{
    /// <summary>Prepares a graph, which may be disposed afterwards.</summary>
    /// <param name="graph">The recording.</param>
    public CudaGraphExec(CudaGraph graph)
        : base(graph.Context)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuGraphInstantiateWithFlags(out nint executable, graph.Native, 0));
        Own(executable);
    }

    /// <summary>Takes over parameters and addresses from a recording with the same kernels in the same order.</summary>
    /// <param name="graph">The new recording.</param>
    /// <returns>False if it differs in more than that: make a new <see cref="CudaGraphExec"/> then.</returns>
    public bool Update(CudaGraph graph)
    {
        Context.Enter();
        CuResult result = CudaDriver.cuGraphExecUpdate_v2(Native, graph.Native, out _);
        if (result != CuResult.GraphExecUpdateFailure)
        {
            Context.Check(result, call: nameof(CudaDriver.cuGraphExecUpdate_v2));
        }

        return result == CuResult.Success;
    }

    /// <summary>Moves what the first launch needs to the device beforehand.</summary>
    /// <param name="stream">Where to enqueue it.</param>
    public void Upload(CudaStream stream)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuGraphUpload(Native, stream.Native));
    }

    /// <summary>Enqueues the whole graph.</summary>
    /// <param name="stream">Where to enqueue it.</param>
    public void Launch(CudaStream stream)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuGraphLaunch(Native, stream.Native));
        if (Context.LaunchesSynchronously)
        {
            Context.Check(CudaDriver.cuStreamSynchronize(stream.Native));
        }
    }

    private protected override void Free(nint native) => CudaDriver.cuGraphExecDestroy(native);
}
