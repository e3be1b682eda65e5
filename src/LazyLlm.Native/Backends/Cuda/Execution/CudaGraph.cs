using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>Work that was recorded from a stream instead of run. Addresses and parameters are those of the recording.</summary>
internal sealed class CudaGraph : CudaResource
{
    // No thread is kept from anything: other threads may allocate and copy, and an asynchronous caller may end on another
    // thread what it began on one.
    private const int CaptureRelaxed = 2;

    private readonly CudaStream _stream;
    private bool _isRecording;

    private CudaGraph(CudaStream stream)
        : base(stream.Context)
    {
        _stream = stream;
    }

    /// <summary>Records what an action enqueues on a stream. Nothing runs; waiting inside the action is an error.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="record">Enqueues the work.</param>
    public static CudaGraph Capture(CudaStream stream, Action record)
    {
        CudaGraph graph = Begin(stream);
        try
        {
            record();
            graph.End();
            return graph;
        }
        catch
        {
            graph.Abandon();
            throw;
        }
    }

    /// <summary>Starts recording what is enqueued on a stream. Call <see cref="End"/> or <see cref="Abandon"/> next.</summary>
    /// <param name="stream">The stream.</param>
    public static CudaGraph Begin(CudaStream stream)
    {
        stream.Context.Enter();
        stream.Context.Check(CudaDriver.cuStreamBeginCapture_v2(stream.Native, CaptureRelaxed));
        stream.IsCapturing = true;
        return new CudaGraph(stream) { _isRecording = true };
    }

    /// <summary>Ends the recording.</summary>
    public void End()
    {
        Context.Enter();
        CuResult result = Finish();
        Context.Check(result, call: nameof(CudaDriver.cuStreamEndCapture));
    }

    /// <summary>The stream leaves capture mode, if it is in it; what it recorded is thrown away.</summary>
    public void Abandon()
    {
        if (_isRecording)
        {
            Finish();
        }

        Dispose();
    }

    private CuResult Finish()
    {
        CuResult result = CudaDriver.cuStreamEndCapture(_stream.Native, out nint native);
        _isRecording = false;
        _stream.IsCapturing = false;
        if (native != 0)
        {
            Own(native);
        }

        return result;
    }

    private protected override void Free(nint native) => CudaDriver.cuGraphDestroy(native);
}
