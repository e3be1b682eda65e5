namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Importance over T: mean over the query heads, and over the given rows, of the attention probability that a row pays to
/// each position; zero behind the row. Sums run in the order of rows and heads.
/// </summary>
internal unsafe struct ImportanceScore<TLanes, TVector> : IParallelJob
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    private const int ChunkKeys = 128;

    private AttentionArguments _arguments;
    private float* _scores;

    /// <summary>Scores on all threads of the pool. Output of the arguments is not written.</summary>
    /// <param name="pool">The threads.</param>
    /// <param name="arguments">The rows whose attention counts.</param>
    /// <param name="importance">One number per entry of T.</param>
    /// <param name="accumulate">Take the maximum with what stands in <paramref name="importance"/>.</param>
    public static void Run(WorkerPool pool, in AttentionArguments arguments, float* importance, bool accumulate)
    {
        using WorkerPool.Scope scope = pool.Enter();
        ImportanceScore<TLanes, TVector> job = default;
        job._arguments = arguments;
        int rowsOfScores = arguments.Rows * arguments.HeadCount;
        job._scores = pool.Shared.Reserve((nint)rowsOfScores * arguments.TokenCount);
        int chunks = (arguments.TokenCount + ChunkKeys - 1) / ChunkKeys;
        pool.Run(in job, chunks, arguments.Work);
        SoftMax softMax = new() { Job = job };
        pool.Run(in softMax, rowsOfScores, 16L * rowsOfScores * arguments.TokenCount);
        Mean mean = new() { Job = job, Importance = importance, Accumulate = accumulate };
        pool.Run(in mean, chunks, (long)rowsOfScores * arguments.TokenCount);
    }

    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        int firstKey = task * ChunkKeys;
        for (int row = 0; row < _arguments.Rows; row++)
        {
            int keys = Math.Min(ChunkKeys, _arguments.Limits[row] - firstKey);
            if (keys > 0)
            {
                float* scores = _scores + ((nint)row * _arguments.HeadCount * _arguments.TokenCount) + firstKey;
                KeyScores<TLanes, TVector>.Compute(_arguments, row, firstKey, keys, scores, _arguments.TokenCount);
            }
        }
    }

    /// <summary>Scores of one row and head to probabilities.</summary>
    private struct SoftMax : IParallelJob
    {
        public ImportanceScore<TLanes, TVector> Job;

        public readonly void Run(int task, FloatBuffer scratch)
        {
            int tokens = Job._arguments.TokenCount;
            int limit = Job._arguments.Limits[task / Job._arguments.HeadCount];
            float* scores = Job._scores + ((nint)task * tokens);
            float sum = RowArithmetic<TLanes, TVector>.ExpSum(scores, limit, RowArithmetic<TLanes, TVector>.Largest(scores, limit));
            RowArithmetic<TLanes, TVector>.Scale(scores, 1 / sum, scores, limit);
            new Span<float>(scores + limit, tokens - limit).Clear();
        }
    }

    /// <summary>Probabilities of a chunk of T to importance.</summary>
    private struct Mean : IParallelJob
    {
        public ImportanceScore<TLanes, TVector> Job;
        public float* Importance;
        public bool Accumulate;

        public readonly void Run(int task, FloatBuffer scratch)
        {
            int tokens = Job._arguments.TokenCount;
            int firstKey = task * ChunkKeys;
            int keys = Math.Min(ChunkKeys, tokens - firstKey);
            int rowsOfScores = Job._arguments.Rows * Job._arguments.HeadCount;
            float* sums = scratch.Reserve(ChunkKeys);
            new Span<float>(sums, keys).Clear();
            for (int row = 0; row < rowsOfScores; row++)
            {
                RowArithmetic<TLanes, TVector>.MultiplyAdd(Job._scores + ((nint)row * tokens) + firstKey, 1f / rowsOfScores, sums, sums, keys);
            }

            for (int i = 0; i < keys; i++)
            {
                Importance[firstKey + i] = Accumulate ? MathF.Max(Importance[firstKey + i], sums[i]) : sums[i];
            }
        }
    }
}
