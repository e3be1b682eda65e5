using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Threads that share out the tasks of one parallel region after another. The calling thread takes part. Regions of
/// different callers run one at a time; a region allocates nothing. Between regions the threads spin for a moment and then
/// sleep.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    /// <summary>Multiply-adds that take about as long as calling in the other threads.</summary>
    private const long SharedWork = 1 << 16;

    private readonly object _regions = new();
    private readonly ParallelRegion _region = new();
    private readonly Thread[] _threads;
    private readonly FloatBuffer[] _scratch;

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
            _threads[i] = NewThread(_region, _scratch[i + 1], i + 1);
        }
    }

    /// <summary>Ends the threads of a pool that nobody disposed of.</summary>
    ~WorkerPool()
    {
        _region.Stop();
    }

    /// <summary>Threads that take part in a region, the caller counted.</summary>
    public int ThreadCount { get; }

    /// <summary>Memory shared by regions that belong together: valid while the caller is inside <see cref="Enter"/>.</summary>
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
            ObjectDisposedException.ThrowIf(_region.IsStopping, this);
            bool isShared = taskCount > 1 && work >= SharedWork && _threads.Length > 0;
            _region.Run(&Invoke<TJob>, Unsafe.AsPointer(ref Unsafe.AsRef(in job)), taskCount, isShared, _scratch[0]);
        }
    }

    /// <summary>Ends the threads.</summary>
    public void Dispose()
    {
        lock (_regions)
        {
            if (_region.IsStopping)
            {
                return;
            }

            _region.Stop();
            foreach (Thread thread in _threads)
            {
                thread.Join();
            }

            foreach (FloatBuffer scratch in _scratch)
            {
                scratch.Dispose();
            }

            Shared.Dispose();
            GC.SuppressFinalize(this);
        }
    }

    private static void Invoke<TJob>(void* job, int task, FloatBuffer scratch)
        where TJob : struct, IParallelJob => Unsafe.AsRef<TJob>(job).Run(task, scratch);

    private static Thread NewThread(ParallelRegion region, FloatBuffer scratch, int number)
    {
        var thread = new Thread(() => region.Work(scratch)) { IsBackground = true, Name = $"LazyLlm CPU {number}" };
        thread.Start();
        return thread;
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
