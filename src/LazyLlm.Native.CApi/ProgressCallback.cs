using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.CApi;

/// <summary>A caller's progress function: told how far a call has come, and may cancel it.</summary>
internal sealed unsafe class ProgressCallback : IProgress<PrefillProgress>, IProgress<LoadProgress>, IDisposable
{
    [ThreadStatic]
    private static bool t_isRunning;

    private readonly CancellationTokenSource _cancellation = new();
    private readonly delegate* unmanaged[Cdecl]<void*, ulong, ulong, int> _function;
    private readonly void* _userData;

    public ProgressCallback(delegate* unmanaged[Cdecl]<void*, ulong, ulong, int> function, void* userData)
    {
        _function = function;
        _userData = userData;
    }

    /// <summary>Cancelled once the function returned non-zero.</summary>
    public CancellationToken Cancellation => _cancellation.Token;

    /// <summary>Refuses a call made from inside a callback.</summary>
    public static void RefuseReentry()
    {
        if (t_isRunning)
        {
            CallException.Throw(ResultCode.Reentrant, "The call was made from inside a callback. Return from the callback first.");
        }
    }

    public void Report(PrefillProgress value) => Call((ulong)value.LayersDone, (ulong)value.LayerCount);

    public void Report(LoadProgress value) => Call((ulong)value.BytesRead, (ulong)value.BytesTotal);

    public void Dispose() => _cancellation.Dispose();

    private void Call(ulong done, ulong total)
    {
        if (_function is null || _cancellation.IsCancellationRequested)
        {
            return;
        }

        t_isRunning = true;
        int answer;
        try
        {
            answer = _function(_userData, done, total);
        }
        finally
        {
            t_isRunning = false;
        }

        if (answer != 0)
        {
            _cancellation.Cancel();
        }
    }
}
