using System.Numerics;
using LazyLlm.Native.Backends.Cpu;

namespace LazyLlm.Bench;

/// <summary>Reads memory on all threads and does next to nothing with it: the yardstick of decoding.</summary>
internal readonly unsafe struct CpuPlainRead(float* data, long length, int tasks, long* sums) : IParallelJob
{
    /// <summary>Reads <paramref name="length"/> floats.</summary>
    public static void Run(WorkerPool pool, float* data, long length)
    {
        const int tasks = 64;
        long* sums = stackalloc long[tasks];
        var job = new CpuPlainRead(data, length, tasks, sums);
        pool.Run(in job, tasks, long.MaxValue);
    }

    public void Run(int task, FloatBuffer scratch)
    {
        // Integer additions, four at a time: bound by the loads alone.
        int width = Vector<long>.Count;
        long count = length / 2 / tasks;
        long* first = (long*)data + (task * count);
        Vector<long> a = Vector<long>.Zero, b = a, c = a, d = a;
        for (long i = 0; i + (4 * width) <= count; i += 4 * width)
        {
            a += Vector.Load(first + i);
            b += Vector.Load(first + i + width);
            c += Vector.Load(first + i + (2 * width));
            d += Vector.Load(first + i + (3 * width));
        }

        sums[task] = Vector.Sum(a + b + c + d);
    }
}
