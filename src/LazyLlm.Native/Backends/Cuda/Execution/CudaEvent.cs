using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>A mark in a stream: other streams can wait for it, and two of them measure the time between.</summary>
internal sealed class CudaEvent : CudaResource
{
    private const uint DisableTiming = 2;

    /// <summary>Creates an event.</summary>
    /// <param name="context">The context.</param>
    /// <param name="timing">Whether it measures time, which makes it dearer.</param>
    public CudaEvent(CudaContext context, bool timing = false)
        : base(context)
    {
        context.Enter();
        context.Check(CudaDriver.cuEventCreate(out nint e, timing ? 0 : DisableTiming));
        Own(e);
    }

    /// <summary>Marks the end of what a stream has been given so far.</summary>
    /// <param name="stream">The stream.</param>
    public void Record(CudaStream stream)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuEventRecord(Native, stream.Native));
    }

    /// <summary>Waits until the stream has come this far.</summary>
    public void Synchronize()
    {
        Context.Enter();
        Context.Check(CudaDriver.cuEventSynchronize(Native));
    }

    /// <summary>Whether the stream has come this far.</summary>
    public bool IsDone()
    {
        Context.Enter();
        CuResult result = CudaDriver.cuEventQuery(Native);
        if (result != CuResult.NotReady)
        {
            Context.Check(result, call: nameof(CudaDriver.cuEventQuery));
        }

        return result == CuResult.Success;
    }

    /// <summary>Time from another event to this one, both timing and done.</summary>
    /// <param name="start">The earlier event.</param>
    public TimeSpan Since(CudaEvent start)
    {
        Context.Enter();
        Context.Check(CudaDriver.cuEventElapsedTime(out float milliseconds, start.Native, Native));
        return TimeSpan.FromMilliseconds(milliseconds);
    }

    private protected override void Free(nint native) => CudaDriver.cuEventDestroy_v2(native);
}
