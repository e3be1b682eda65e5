using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// What the threads of a <see cref="WorkerPool"/> share: one region at a time, opened by a caller that has made sure to be
/// the only one. Knows nothing of the pool, so that a forgotten pool is collected and ends its threads.
/// </summary>
internal sealed unsafe class ParallelRegion
{
    private const long Open = 1L << 31;
    private const long ActiveMask = Open - 1;

    /// <summary>How long a thread spins for the next region before it sleeps: 0.1 ms.</summary>
    private static readonly long SpinTicks = Stopwatch.Frequency / 10_000;

    private readonly object _parking = new();

    /// <summary>Number of the region (upper half), whether it may still be joined, and how many workers are inside.</summary>
    private long _gate;
    private int _parked;
    private bool _isStopping;
    private delegate*<void*, int, FloatBuffer, void> _run;
    private void* _job;
    private int _taskCount;
    private int _nextTask;
    private ExceptionDispatchInfo? _failure;

    /// <summary>Whether <see cref="Stop"/> was called.</summary>
    public bool IsStopping => Volatile.Read(ref _isStopping);

    /// <summary>Runs the tasks of a job on the calling thread, and on the waiting ones if <paramref name="isShared"/>.</summary>
    public void Run(delegate*<void*, int, FloatBuffer, void> run, void* job, int taskCount, bool isShared, FloatBuffer scratch)
    {
        _run = run;
        _job = job;
        _taskCount = taskCount;
        _nextTask = 0;
        if (isShared)
        {
            OpenGate();
        }

        ShareOutTasks(scratch);
        if (isShared)
        {
            CloseGate();
        }

        if (_failure is { } failure)
        {
            _failure = null;
            failure.Throw();
        }
    }

    /// <summary>A worker's life: one region after another until <see cref="Stop"/>.</summary>
    public void Work(FloatBuffer scratch)
    {
        int seen = 0;
        while (WaitForRegion(ref seen))
        {
            ShareOutTasks(scratch);
            Interlocked.Decrement(ref _gate);
        }
    }

    /// <summary>Ends the workers. No region may be open.</summary>
    public void Stop()
    {
        lock (_parking)
        {
            Volatile.Write(ref _isStopping, true);
            Monitor.PulseAll(_parking);
        }
    }

    private static int RegionOf(long gate) => (int)(gate >> 32);

    private static bool CanJoin(long gate, int seen) => (gate & Open) != 0 && RegionOf(gate) != seen;

    private void OpenGate()
    {
        Interlocked.Exchange(ref _gate, ((long)(RegionOf(_gate) + 1) << 32) | Open);
        if (Volatile.Read(ref _parked) > 0)
        {
            lock (_parking)
            {
                Monitor.PulseAll(_parking);
            }
        }
    }

    /// <summary>Lets nobody in any more and waits for those inside: a worker that wakes up late does not hold up the caller.</summary>
    private void CloseGate()
    {
        Interlocked.And(ref _gate, ~Open);
        for (int spins = 0; (Volatile.Read(ref _gate) & ActiveMask) != 0; spins++)
        {
            if (spins < 2000)
            {
                Thread.SpinWait(8);
            }
            else
            {
                Thread.Yield();
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ShareOutTasks(FloatBuffer scratch)
    {
        try
        {
            int task;
            while ((task = Interlocked.Increment(ref _nextTask) - 1) < _taskCount)
            {
                _run(_job, task, scratch);
            }
        }
#pragma warning disable CA1031 // Whatever a task throws goes on to the caller of the region.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(exception), null);
            Interlocked.Exchange(ref _nextTask, _taskCount);
        }
    }

    /// <summary>Joins the next open region; false when the pool ends.</summary>
    private bool WaitForRegion(ref int seen)
    {
        long idleSince = Stopwatch.GetTimestamp();
        while (!IsStopping)
        {
            long gate = Volatile.Read(ref _gate);
            if (CanJoin(gate, seen))
            {
                if (Interlocked.CompareExchange(ref _gate, gate + 1, gate) == gate)
                {
                    seen = RegionOf(gate);
                    return true;
                }
            }
            else if (Stopwatch.GetTimestamp() - idleSince > SpinTicks)
            {
                Park(seen);
                idleSince = Stopwatch.GetTimestamp();
            }
            else
            {
                Thread.SpinWait(8);
            }
        }

        return false;
    }

    private void Park(int seen)
    {
        lock (_parking)
        {
            // Counted before the last look at the gate: whoever opens it after that look sees the count.
            Interlocked.Increment(ref _parked);
            while (!_isStopping && !CanJoin(Volatile.Read(ref _gate), seen))
            {
                Monitor.Wait(_parking);
            }

            Interlocked.Decrement(ref _parked);
        }
    }
}
