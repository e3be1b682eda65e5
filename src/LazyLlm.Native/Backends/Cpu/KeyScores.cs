using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Scores of one row under all heads: scaled products of its queries with keys that are read once.</summary>
internal static unsafe class KeyScores<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>scores[head x <paramref name="stride"/> + j] = query of the head · K of entry firstKey + j of T.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Compute(in AttentionArguments arguments, int row, int firstKey, int keys, float* scores, nint stride)
    {
        int size = arguments.HeadSize;
        int group = arguments.Group;
        float* queries = arguments.Query + (row * arguments.QueryStride);
        for (int j = 0; j < keys; j++)
        {
            float* key = arguments.Keys + (arguments.Slots[firstKey + j] * arguments.CacheStride);
            float* query = queries;
            for (int head = 0; head < arguments.HeadCount; key += size)
            {
                for (int end = head + group; head < end; head++)
                {
                    scores[(head * stride) + j] = RowArithmetic<TLanes, TVector>.Dot(query, key, size) * arguments.Scale;
                    query += size;
                }
            }
        }
    }
}
