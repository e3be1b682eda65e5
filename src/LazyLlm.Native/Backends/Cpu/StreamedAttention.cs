using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Attention of a few rows, which is bound by reading K and V: a task takes a chunk of T with all heads and rows and reads
/// each K and V row once. A second pass puts the chunks together in their order. Each row's numbers are independent of the
/// other rows.
/// </summary>
internal unsafe struct StreamedAttention<TLanes, TVector> : IParallelJob
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    private const int ChunkKeys = 128;

    private AttentionArguments _arguments;
    private float* _partials;

    /// <summary>Floats of one row's partial result over a chunk: the outputs, then maximum and sum of each head.</summary>
    private readonly nint PartialSize => _arguments.HeadCount * (_arguments.HeadSize + 2);

    /// <summary>Attends on all threads of the pool.</summary>
    public static void Run(WorkerPool pool, in AttentionArguments arguments)
    {
        using WorkerPool.Scope scope = pool.Enter();
        StreamedAttention<TLanes, TVector> job = default;
        job._arguments = arguments;
        int chunks = ChunksOf(arguments.TokenCount);
        job._partials = pool.Shared.Reserve(chunks * arguments.Rows * job.PartialSize);
        pool.Run(in job, chunks, arguments.Work);
        Merge merge = new() { Job = job };
        pool.Run(in merge, arguments.Rows * arguments.HeadCount, (long)chunks * arguments.Rows * job.PartialSize);
    }

    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        float* scores = scratch.Reserve(ChunkKeys * _arguments.HeadCount);
        int firstKey = task * ChunkKeys;
        for (int row = 0; row < _arguments.Rows; row++)
        {
            int keys = Math.Min(ChunkKeys, _arguments.Limits[row] - firstKey);
            if (keys <= 0)
            {
                continue;
            }

            float* partial = Partial(task, row);
            float* maxima = partial + (_arguments.HeadCount * _arguments.HeadSize);
            float* sums = maxima + _arguments.HeadCount;
            KeyScores<TLanes, TVector>.Compute(_arguments, row, firstKey, keys, scores, ChunkKeys);
            for (int head = 0; head < _arguments.HeadCount; head++)
            {
                maxima[head] = RowArithmetic<TLanes, TVector>.Largest(scores + (head * ChunkKeys), keys);
                sums[head] = RowArithmetic<TLanes, TVector>.ExpSum(scores + (head * ChunkKeys), keys, maxima[head]);
            }

            SumValues(firstKey, keys, scores, partial);
        }
    }

    private static int ChunksOf(int keys) => (keys + ChunkKeys - 1) / ChunkKeys;

    private readonly float* Partial(int chunk, int row) => _partials + (((chunk * (nint)_arguments.Rows) + row) * PartialSize);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void SumValues(int firstKey, int keys, float* scores, float* outputs)
    {
        int size = _arguments.HeadSize;
        new Span<float>(outputs, _arguments.HeadCount * size).Clear();
        int key = 0;
        for (; key + 4 <= keys; key += 4)
        {
            float* value0 = ValueRow(firstKey + key);
            float* value1 = ValueRow(firstKey + key + 1);
            float* value2 = ValueRow(firstKey + key + 2);
            float* value3 = ValueRow(firstKey + key + 3);
            for (int head = 0; head < _arguments.HeadCount; head++)
            {
                float* weights = scores + (head * ChunkKeys) + key;
                nint shared = head / _arguments.Group * size;
                float* output = outputs + (head * size);
                int i = 0;
                for (; i + TLanes.Count <= size; i += TLanes.Count)
                {
                    TVector sum = TLanes.Load(output + i);
                    sum = TLanes.MultiplyAdd(TLanes.Broadcast(weights[0]), TLanes.Load(value0 + shared + i), sum);
                    sum = TLanes.MultiplyAdd(TLanes.Broadcast(weights[1]), TLanes.Load(value1 + shared + i), sum);
                    sum = TLanes.MultiplyAdd(TLanes.Broadcast(weights[2]), TLanes.Load(value2 + shared + i), sum);
                    sum = TLanes.MultiplyAdd(TLanes.Broadcast(weights[3]), TLanes.Load(value3 + shared + i), sum);
                    TLanes.Store(sum, output + i);
                }

                for (; i < size; i++)
                {
                    output[i] += (weights[0] * value0[shared + i]) + (weights[1] * value1[shared + i])
                        + (weights[2] * value2[shared + i]) + (weights[3] * value3[shared + i]);
                }
            }
        }

        for (; key < keys; key++)
        {
            float* value = ValueRow(firstKey + key);
            for (int head = 0; head < _arguments.HeadCount; head++)
            {
                float* output = outputs + (head * size);
                RowArithmetic<TLanes, TVector>.MultiplyAdd(
                    value + (head / _arguments.Group * size), scores[(head * ChunkKeys) + key], output, output, size);
            }
        }
    }

    private readonly float* ValueRow(int key) => _arguments.Values + (_arguments.Slots[key] * _arguments.CacheStride);

    /// <summary>Puts the chunks of one row and head together.</summary>
    private struct Merge : IParallelJob
    {
        public StreamedAttention<TLanes, TVector> Job;

        public readonly void Run(int task, FloatBuffer scratch)
        {
            ref readonly AttentionArguments arguments = ref Job._arguments;
            int row = task / arguments.HeadCount;
            int head = task % arguments.HeadCount;
            int size = arguments.HeadSize;
            int chunks = ChunksOf(arguments.Limits[row]);
            nint maximumAt = (arguments.HeadCount * size) + head;
            float maximum = float.NegativeInfinity;
            for (int chunk = 0; chunk < chunks; chunk++)
            {
                maximum = MathF.Max(maximum, Job.Partial(chunk, row)[maximumAt]);
            }

            float* output = arguments.Output + (row * arguments.OutputStride) + (head * size);
            new Span<float>(output, size).Clear();
            float sum = 0;
            for (int chunk = 0; chunk < chunks; chunk++)
            {
                float* partial = Job.Partial(chunk, row);
                float weight = MathF.Exp(partial[maximumAt] - maximum);
                sum += weight * partial[maximumAt + arguments.HeadCount];
                RowArithmetic<TLanes, TVector>.MultiplyAdd(partial + (head * size), weight, output, output, size);
            }

            RowArithmetic<TLanes, TVector>.Scale(output, 1 / sum, output, size);
        }
    }
}
