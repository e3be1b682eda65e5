using System.Runtime.CompilerServices;
using LazyLlm.Native.Backends.Cpu;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

public unsafe class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Every_task_runs_once(int threads)
    {
        using var pool = new WorkerPool(threads);
        int[] runs = new int[1000];
        for (int tasks = 0; tasks <= runs.Length; tasks += 37)
        {
            Array.Clear(runs);
            var job = new Count(runs);
            pool.Run(in job, tasks, long.MaxValue);
            Assert.All(runs[..tasks], count => Assert.Equal(1, count));
            Assert.All(runs[tasks..], count => Assert.Equal(0, count));
        }
    }

    [Fact]
    public void Callers_on_several_threads_share_the_pool()
    {
        using var pool = new WorkerPool(3);
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            for (int i = 0; i < 200; i++)
            {
                int[] runs = new int[17];
                var job = new Count(runs);
                pool.Run(in job, runs.Length, long.MaxValue);
                Assert.All(runs, count => Assert.Equal(1, count));
            }
        });
    }

    [Fact]
    public void Threads_that_sleep_wake_up()
    {
        using var pool = new WorkerPool(2);
        for (int i = 0; i < 5; i++)
        {
            Thread.Sleep(5);
            int arrived = 0;
            var job = new Meet(&arrived, 2);
            pool.Run(in job, 2, long.MaxValue);
            Assert.Equal(2, arrived);
        }
    }

    [Fact]
    public void What_a_task_throws_reaches_the_caller_and_the_pool_goes_on()
    {
        using var pool = new WorkerPool(3);
        for (int i = 0; i < 50; i++)
        {
            var failing = new Fail(i);
            Assert.Equal($"task {i}", Assert.Throws<InvalidOperationException>(() =>
            {
                Fail local = failing;
                pool.Run(in local, 50, long.MaxValue);
            }).Message);
            int[] runs = new int[20];
            var job = new Count(runs);
            pool.Run(in job, runs.Length, long.MaxValue);
            Assert.All(runs, count => Assert.Equal(1, count));
        }
    }

    [Fact]
    public void A_region_allocates_nothing()
    {
        using var pool = new WorkerPool(2);
        int[] runs = new int[10];
        var job = new Count(runs);
        pool.Run(in job, runs.Length, long.MaxValue);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            pool.Run(in job, runs.Length, long.MaxValue);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void A_forgotten_pool_ends_its_threads()
    {
        Thread worker = Forget();
        for (int i = 0; i < 100 && worker.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            worker.Join(50);
        }

        Assert.False(worker.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static Thread Forget()
        {
            var pool = new WorkerPool(2);
            Thread caller = Thread.CurrentThread;
            for (int i = 0; i < 1000; i++)
            {
                Thread?[] ran = new Thread?[2];
                int arrived = 0;
                var job = new Meet(&arrived, 2, ran);
                pool.Run(in job, 2, long.MaxValue);
                if (ran.FirstOrDefault(t => t != caller) is { } other)
                {
                    return other;
                }
            }

            throw new InvalidOperationException("no task ran on a worker");
        }
    }

    [Fact]
    public void A_disposed_pool_refuses_work()
    {
        var pool = new WorkerPool(2);
        pool.Dispose();
        pool.Dispose();
        Assert.Throws<ObjectDisposedException>(() =>
        {
            var job = new Count([0]);
            pool.Run(in job, 1, long.MaxValue);
        });
    }

    private readonly struct Count(int[] runs) : IParallelJob
    {
        public void Run(int task, FloatBuffer scratch) => Interlocked.Increment(ref runs[task]);
    }

    /// <summary>Tasks that wait for each other: each needs a thread of its own.</summary>
    private readonly struct Meet(int* arrived, int expected, Thread?[]? ran = null) : IParallelJob
    {
        public void Run(int task, FloatBuffer scratch)
        {
            ran?[task] = Thread.CurrentThread;
            Interlocked.Increment(ref *arrived);
            while (Volatile.Read(ref *arrived) < expected)
            {
                Thread.Yield();
            }
        }
    }

    private readonly struct Fail(int at) : IParallelJob
    {
        public void Run(int task, FloatBuffer scratch)
        {
            if (task == at)
            {
                throw new InvalidOperationException($"task {task}");
            }
        }
    }
}
