using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>
/// A device's primary context, retained. Everything made in it keeps it alive, so the order of disposal does not
/// matter: the context is released when it and all its streams, buffers and modules are. Safe from every thread; each
/// call makes the context current on its thread and leaves it so.
/// </summary>
internal sealed class CudaContext : SafeHandle
{
    /// <summary>Set to 1 to wait for every kernel, so that an error is reported where it happened.</summary>
    public const string SynchronousVariable = "LAZYLLM_SYNC";

    private readonly int _device;

    private CudaContext(CudaDevice device, bool synchronous)
        : base(0, ownsHandle: true)
    {
        Device = device;
        _device = device.Handle;
        LaunchesSynchronously = synchronous;
        Memory = new DeviceMemory(this);
    }

    /// <summary>The device.</summary>
    public CudaDevice Device { get; }

    /// <summary>Whether the context still works, and if not, why.</summary>
    public DeviceHealth Health { get; } = new();

    /// <summary>What is allocated, and what is free.</summary>
    public DeviceMemory Memory { get; }

    /// <summary>
    /// The stream that all kernels run in, where one user of the context has it so. Memory that is given back then waits
    /// for this stream, and not for the whole context, which would spoil a recording that another thread has under way.
    /// </summary>
    public CudaStream? WorkStream { get; set; }

    /// <summary>What makes work in this context slower than it might be, in plain words. Filled while a model is loaded.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Whether every launch is waited for.</summary>
    public bool LaunchesSynchronously { get; }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Retains the primary context of a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="synchronous">Wait for every kernel; null for the environment variable <c>LAZYLLM_SYNC</c>.</param>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static CudaContext Open(CudaDevice device, bool? synchronous = null)
    {
        var context = new CudaContext(device, synchronous ?? Environment.GetEnvironmentVariable(SynchronousVariable) == "1");
        try
        {
            context.Check(CudaDriver.cuDevicePrimaryCtxRetain(out nint handle, device.Handle), "opening the device");
            context.SetHandle(handle);
            context.Enter();
            return context;
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>Makes the context current on this thread. Call it before any other driver call.</summary>
    /// <exception cref="DeviceLostException">An earlier error poisoned the context.</exception>
    /// <exception cref="ObjectDisposedException">The context and everything in it is disposed.</exception>
    public void Enter()
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        Health.ThrowIfLost();
        Check(CudaDriver.cuCtxSetCurrent(handle));
    }

    /// <summary>Throws if a call failed.</summary>
    /// <param name="result">The call itself; its text gives the function's name.</param>
    /// <param name="operation">What the engine was doing; null for the operation that is open on this thread.</param>
    /// <param name="call">Filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Check(CuResult result, string? operation = null, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != CuResult.Success)
        {
            CudaError.Throw(result, this, operation, call);
        }
    }

    /// <summary>Waits for everything that was enqueued in this context.</summary>
    public void Synchronize()
    {
        Enter();
        Check(CudaDriver.cuCtxSynchronize());
    }

    /// <summary>Waits, on a context that is current, for kernels that may use memory which is given back. Never throws.</summary>
    internal void WaitForWork()
    {
        if (WorkStream is { IsClosed: false } stream)
        {
            CudaDriver.cuStreamSynchronize(stream.DangerousGetHandle());
        }
        else
        {
            CudaDriver.cuCtxSynchronize();
        }
    }

    /// <summary>Tells an attached profiler to start collecting (nsys and ncu with <c>--capture-range=cudaProfilerApi</c>).</summary>
    public void StartProfiler()
    {
        Enter();
        Check(CudaDriver.cuProfilerStart());
    }

    /// <summary>Tells an attached profiler to stop collecting.</summary>
    public void StopProfiler()
    {
        Enter();
        Check(CudaDriver.cuProfilerStop());
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => CudaDriver.cuDevicePrimaryCtxRelease_v2(_device) == CuResult.Success;
}
