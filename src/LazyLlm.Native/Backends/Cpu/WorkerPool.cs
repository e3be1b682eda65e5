using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Threads that share out the tasks of one parallel region after another. The calling thread takes part. Regions of
/// different callers run one at a time; a region allocates nothing. Between regions the threads spin for a moment and then
/// sleep.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    private const long Open = 1L << 31;
    private const long ActiveMask = Open - 1;

    /// <summary>Multiply-adds that take about as long as calling in the other threads.</summary>
    private const long SharedWork = 1 << 16;

    private static readonly long SpinTicks = Stopwatch.Frequency / 10_000;

    private readonly object _regions = new();
    private readonly object _parking = new();
    private readonly Thread[] _threads;
    private readonly FloatBuffer[] _scratch;

    /// <summary>Number of the region (upper half), whether it may still be joined, and how many workers are inside.</summary>
    private long _gate;
    private int _parked;
    private bool _stopping;
    private delegate*<void*, int, FloatBuffer, void> _run;
    private void* _job;
    private int _taskCount;
    private int _nextTask;
    private ExceptionDispatchInfo? _failure;

    /// <summary>A pool of <paramref name="threadCount"/> threads, the caller counted.</summary>
    public WorkerPool(int threadCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadCount, 1);
        ThreadCount = threadCount;
        _scratch = new FloatBuffer[threadCount];
        for (int i = 0; i < threadCount; i++)
        {
            _scratch[i] = new FloatBuffer();
        }

        _threads = new Thread[threadCount - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"LazyLlm CPU {worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads that take part in a region, the caller counted.</summary>
    public int ThreadCount { get; }

    /// <summary>
    /// Memory shared by regions that belong together: valid while the caller is inside <see cref="Enter"/>.
    /// </summary>
    public FloatBuffer Shared { get; } = new();

    /// <summary>Keeps other callers' regions out until disposed, so that several regions can hand data on in <see cref="Shared"/>.</summary>
    public Scope Enter() => new(_regions);

    /// <summary>Runs the tasks 0 .. <paramref name="taskCount"/> of a job and returns when all are done.</summary>
    /// <param name="job">A local variable of the caller: the threads reach it through its address on the stack.</param>
    /// <param name="taskCount">Tasks.</param>
    /// <param name="work">Roughly how many multiply-adds there are altogether: few of them stay on the calling thread.</param>
    /// <exception cref="Exception">What a task threw first, once every thread has left the region; tasks not begun by then are dropped.</exception>
    public void Run<TJob>(ref readonly TJob job, int taskCount, long work)
        where TJob : struct, IParallelJob
    {
        if (taskCount <= 0)
        {
            return;
        }

        lock (_regions)
        {
            ObjectDisposedException.ThrowIf(_stopping, this);
            _run = &Invoke<TJob>;
            _job = Unsafe.AsPointer(ref Unsafe.AsRef(in job));
            _taskCount = taskCount;
            _nextTask = 0;
            bool shared = taskCount > 1 && work >= SharedWork && _threads.Length > 0;
            if (shared)
            {
                OpenGate();
            }

            ShareOutTasks(_scratch[0]);
            if (shared)
            {
                CloseGate();
            }

            if (_failure is { } failure)
            {
                _failure = null;
                failure.Throw();
            }
        }
    }

    /// <summary>Ends the threads.</summary>
    public void Dispose()
    {
        lock (_regions)
        {
            if (_stopping)
            {
                return;
            }

            lock (_parking)
            {
                Volatile.Write(ref _stopping, true);
                Monitor.PulseAll(_parking);
            }

            foreach (Thread thread in _threads)
            {
                thread.Join();
            }

            foreach (FloatBuffer scratch in _scratch)
            {
                scratch.Dispose();
            }

            Shared.Dispose();
        }
    }

    private static void Invoke<TJob>(void* job, int task, FloatBuffer scratch)
        where TJob : struct, IParallelJob => Unsafe.AsRef<TJob>(job).Run(task, scratch);

    private static int RegionOf(long gate) => (int)(gate >> 32);

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
            Pause(spins);
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

    private void Work(int worker)
    {
        int seen = 0;
        while (WaitForRegion(ref seen))
        {
            ShareOutTasks(_scratch[worker]);
            Interlocked.Decrement(ref _gate);
        }
    }

    /// <summary>Joins the next open region; false when the pool ends.</summary>
    private bool WaitForRegion(ref int seen)
    {
        long idleSince = Stopwatch.GetTimestamp();
        for (int spins = 0; ; spins++)
        {
            if (Volatile.Read(ref _stopping))
            {
                return false;
            }

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
    }

    private void Park(int seen)
    {
        lock (_parking)
        {
            // Counted before the last look at the gate: whoever opens it after that look sees the count.
            Interlocked.Increment(ref _parked);
            while (!_stopping && !CanJoin(Volatile.Read(ref _gate), seen))
            {
                Monitor.Wait(_parking);
            }

            Interlocked.Decrement(ref _parked);
        }
    }

    private static bool CanJoin(long gate, int seen) => (gate & Open) != 0 && RegionOf(gate) != seen;

    private static void Pause(int spins)
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

    /// <summary>What <see cref="Enter"/> holds.</summary>
    public readonly ref struct Scope
    {
        private readonly object _regions;

        internal Scope(object regions)
        {
            _regions = regions;
            Monitor.Enter(regions);
        }

        /// <summary>Lets other callers in.</summary>
        public void Dispose() => Monitor.Exit(_regions);
    }
}
