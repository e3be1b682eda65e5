using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;

namespace LazyLlm.Native.Diagnostics;

/// <summary>
/// The part of a program that a GPU profiler is to look at: collection starts when the range is opened and stops when it
/// is disposed (<c>ncu --profile-from-start off</c>, <c>nsys profile --capture-range=cudaProfilerApi</c>). Both wait for
/// the device first, so that the range holds all of its own work and no other. Without a profiler it does nothing else.
/// </summary>
public sealed class ProfilerRange : IDisposable
{
    private LlamaEngine? _engine;

    private ProfilerRange(LlamaEngine engine) => _engine = engine;

    /// <summary>Opens a range.</summary>
    /// <param name="engine">An engine on a GPU; the range keeps it alive.</param>
    /// <exception cref="InvalidOptionException">The engine is not on a GPU.</exception>
    /// <exception cref="DeviceException">The driver refused.</exception>
    public static ProfilerRange Open(LlamaEngine engine)
    {
        ArgumentNullException.ThrowIfNull(engine);
        engine.Acquire();
        try
        {
            return engine.Profile(collect: true)
                ? new ProfilerRange(engine)
                : throw new InvalidOptionException("profiler range", $"the engine runs on {engine.DeviceName}, which has no CUDA profiler to tell; expected the device cuda.");
        }
        catch
        {
            engine.Release();
            throw;
        }
    }

    /// <summary>Ends the range. May be called twice.</summary>
    /// <exception cref="DeviceException">The device failed within the range.</exception>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _engine, null) is not LlamaEngine engine)
        {
            return;
        }

        try
        {
            engine.Profile(collect: false);
        }
        finally
        {
            engine.Release();
        }
    }
}
