namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Chooses a stage's token set from the one before by importance: the twin of <c>kernels/select.cu</c>.</summary>
internal static class TokenSelection
{
    /// <summary>Keeps in <paramref name="positions"/> what the request asks for, ascending.</summary>
    /// <param name="importance">Score per entry of T.</param>
    /// <param name="positions">T, ascending; overwritten with the next T.</param>
    /// <param name="count">|T|.</param>
    /// <param name="cache">The stage that begins; looked at by static pruning alone.</param>
    /// <param name="request">How many, and which always stay.</param>
    /// <returns>Size of the next T.</returns>
    public static int Select(float[] importance, int[] positions, int count, CpuStageCache cache, in SelectionRequest request)
    {
        int kept = 0;
        if (request.Static)
        {
            for (int i = 0; i < count; i++)
            {
                if (positions[i] >= request.FirstNew || cache.SlotOf(positions[i]) >= 0)
                {
                    positions[kept++] = positions[i];
                }
            }

            return kept;
        }

        float[] scores = Pooled(importance, count, request.PoolWidth);
        int newest = request.Length - 1;
        for (int i = 0; i < count; i++)
        {
            bool stays = positions[i] < request.KeepFirst || positions[i] > newest - request.KeepRecent;
            scores[i] = stays ? float.PositiveInfinity : scores[i];
        }

        int[] order = new int[count];
        for (int i = 0; i < count; i++)
        {
            order[i] = i;
        }

        Array.Sort(order, (a, b) => scores[a] == scores[b] ? a.CompareTo(b) : scores[b].CompareTo(scores[a]));
        int keepCount = Math.Min(count, request.KeepCount);
        if (request.AttentionMass > 0)
        {
            keepCount = CountHoldingMass(importance.AsSpan(0, count), scores, order, keepCount, request.AttentionMass);
        }

        Array.Sort(order, 0, keepCount);
        for (; kept < keepCount; kept++)
        {
            positions[kept] = positions[order[kept]];
        }

        return keepCount;
    }

    /// <summary>The smallest count of the best entries, those that always stay first, that hold the share of the importance.</summary>
    private static int CountHoldingMass(ReadOnlySpan<float> importance, float[] scores, int[] order, int limit, double share)
    {
        double total = 0;
        foreach (float value in importance)
        {
            total += value;
        }

        double held = 0;
        int count = 0;
        while (count < limit && (held < share * total || float.IsPositiveInfinity(scores[order[count]])))
        {
            held += importance[order[count++]];
        }

        return Math.Max(1, count);
    }

    private static float[] Pooled(float[] importance, int count, int width)
    {
        float[] scores = new float[count];
        for (int i = 0; i < count; i++)
        {
            int first = Math.Max(0, i - (width / 2));
            int end = Math.Min(count, i + (width / 2) + 1);
            float sum = 0;
            for (int j = first; j < end; j++)
            {
                sum += importance[j];
            }

            scores[i] = sum / (end - first);
        }

        return scores;
    }
}
