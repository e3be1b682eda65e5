using System.Runtime.InteropServices;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>
/// A thing that lives in a context: it keeps the context alive, is freed once, from any thread (a finalizer's too),
/// and its release never throws. Disposing it while another thread uses it is the caller's error.
/// </summary>
internal abstract class CudaResource : SafeHandle
{
    private protected CudaResource(CudaContext context)
        : base(0, ownsHandle: true)
    {
        Context = context;
    }

    /// <summary>The context that it lives in.</summary>
    public CudaContext Context { get; }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The native handle.</summary>
    /// <exception cref="ObjectDisposedException">It is freed.</exception>
    internal nint Native
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);
            return handle;
        }
    }

    /// <summary>Takes over a native handle that was just made, and holds on to the context.</summary>
    private protected void Own(nint native)
    {
        bool added = false;
        Context.DangerousAddRef(ref added);
        SetHandle(native);
    }

    /// <summary>Frees the native handle; the context is current. Results are of no use here.</summary>
    private protected abstract void Free(nint native);

    /// <inheritdoc/>
    protected sealed override bool ReleaseHandle()
    {
        // A finalizer's thread belongs to everybody, so its current context is put back.
        bool pushed = CudaDriver.cuCtxPushCurrent_v2(Context.DangerousGetHandle()) == CuResult.Success;
        Free(handle);
        if (pushed)
        {
            CudaDriver.cuCtxPopCurrent_v2(out _);
        }

        Context.DangerousRelease();
        return true;
    }
}
