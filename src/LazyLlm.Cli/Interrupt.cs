using System.Runtime.InteropServices;

namespace LazyLlm.Cli;

/// <summary>
/// What Ctrl+C and SIGTERM do: the first stops the work at hand (within a layer), the second ends the process at once.
/// While a scope is open, the first stops that scope only; while the program waits for input, it ends at once.
/// </summary>
internal sealed class Interrupt : IDisposable
{
    private readonly CancellationTokenSource _all = new();
    private readonly List<PosixSignalRegistration> _registrations = [];
    private volatile CancellationTokenSource? _scope;
    private volatile bool _isWaitingForInput;

    /// <summary>Cancelled when the program is to stop.</summary>
    public CancellationToken Token => _all.Token;

    /// <summary>An interrupt that listens to the process's signals.</summary>
    public static Interrupt Listen()
    {
        var interrupt = new Interrupt();
        foreach (PosixSignal signal in (ReadOnlySpan<PosixSignal>)[PosixSignal.SIGINT, PosixSignal.SIGTERM])
        {
            interrupt._registrations.Add(PosixSignalRegistration.Create(signal, context => context.Cancel = interrupt.Signal()));
        }

        return interrupt;
    }

    /// <summary>Takes one signal.</summary>
    /// <returns>Whether the program stops by itself; false to end the process at once.</returns>
    public bool Signal()
    {
        CancellationTokenSource target = _scope ?? _all;
        if (_isWaitingForInput || target.IsCancellationRequested)
        {
            return false;
        }

        target.Cancel();
        return true;
    }

    /// <summary>Runs work that the first signal stops alone.</summary>
    public async Task RunScopeAsync(Func<CancellationToken, Task> work)
    {
        using var scope = CancellationTokenSource.CreateLinkedTokenSource(_all.Token);
        _scope = scope;
        try
        {
            await work(scope.Token).ConfigureAwait(false);
        }
        finally
        {
            _scope = null;
        }
    }

    /// <summary>Reads from a person or a pipe; a signal meanwhile ends the process at once, as nothing could be lost.</summary>
    public T WaitForInput<T>(Func<T> read)
    {
        _isWaitingForInput = true;
        try
        {
            return read();
        }
        finally
        {
            _isWaitingForInput = false;
        }
    }

    public void Dispose()
    {
        _registrations.ForEach(registration => registration.Dispose());
        _all.Dispose();
    }
}
