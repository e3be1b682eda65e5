namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// Chooses a stage's token set from the one before by importance: the twin of <c>kernels/select.cu</c>. Exact, in linear
/// time, and without allocation once it has seen the longest context.
/// </summary>
internal sealed class TokenSelection
{
    /// <summary>Scores as numbers that sort as the scores do.</summary>
    private uint[] _ranks = [];

    /// <summary>Upside-down rank and index, for the rule by attention mass alone.</summary>
    private ulong[] _order = [];

    /// <summary>Keeps in <paramref name="positions"/> what the request asks for, ascending.</summary>
    /// <param name="importance">Score per entry of T.</param>
    /// <param name="positions">T, ascending; overwritten with the next T.</param>
    /// <param name="count">|T|.</param>
    /// <param name="cache">The stage that begins; looked at by static pruning alone.</param>
    /// <param name="request">How many, and which always stay.</param>
    /// <returns>Size of the next T.</returns>
    public int Select(ReadOnlySpan<float> importance, Span<int> positions, int count, CpuStageCache cache, in SelectionRequest request)
    {
        if (request.Static)
        {
            return KeepStatic(positions[..count], cache, request.FirstNew);
        }

        if (count > _ranks.Length)
        {
            _ranks = new uint[Growth.Next(_ranks.Length, count)];
        }

        Span<uint> ranks = _ranks.AsSpan(0, count);
        int newest = request.Length - 1;
        for (int i = 0; i < count; i++)
        {
            bool stays = positions[i] < request.KeepFirst || positions[i] > newest - request.KeepRecent;
            ranks[i] = stays ? uint.MaxValue : RankOf(Pooled(importance[..count], i, request.PoolWidth));
        }

        int keepCount = Math.Min(count, request.KeepCount);
        if (request.AttentionMass > 0)
        {
            keepCount = CountHoldingMass(importance[..count], ranks, keepCount, request.AttentionMass);
        }

        return KeepBest(positions[..count], ranks, keepCount);
    }

    private static int KeepStatic(Span<int> positions, CpuStageCache cache, int firstNew)
    {
        int kept = 0;
        foreach (int position in positions)
        {
            if (position >= firstNew || cache.SlotOf(position) >= 0)
            {
                positions[kept++] = position;
            }
        }

        return kept;
    }

    /// <summary>Keeps the <paramref name="keepCount"/> highest ranks; among equal ones at the border, the lower positions.</summary>
    private static int KeepBest(Span<int> positions, ReadOnlySpan<uint> ranks, int keepCount)
    {
        if (keepCount >= positions.Length)
        {
            return positions.Length;
        }

        (uint border, int atBorder) = FindBorder(ranks, keepCount);
        int kept = 0;
        for (int i = 0; i < positions.Length; i++)
        {
            if (ranks[i] > border || (ranks[i] == border && atBorder-- > 0))
            {
                positions[kept++] = positions[i];
            }
        }

        return kept;
    }

    /// <summary>The rank of the <paramref name="keepCount"/>-th best, byte by byte, and how many of that rank are kept.</summary>
    private static (uint Border, int AtBorder) FindBorder(ReadOnlySpan<uint> ranks, int keepCount)
    {
        Span<int> counts = stackalloc int[256];
        uint border = 0;
        uint known = 0;
        int left = keepCount;
        for (int shift = 24; shift >= 0; shift -= 8)
        {
            counts.Clear();
            foreach (uint rank in ranks)
            {
                if ((rank & known) == border)
                {
                    counts[(int)(rank >> shift) & 255]++;
                }
            }

            int digit = 255;
            while (counts[digit] < left)
            {
                left -= counts[digit--];
            }

            border |= (uint)digit << shift;
            known |= 255u << shift;
        }

        return (border, left);
    }

    /// <summary>The smallest count of the best entries, those that always stay first, that hold the share of the importance.</summary>
    private int CountHoldingMass(ReadOnlySpan<float> importance, ReadOnlySpan<uint> ranks, int limit, double share)
    {
        if (ranks.Length > _order.Length)
        {
            _order = new ulong[_ranks.Length];
        }

        double total = 0;
        Span<ulong> order = _order.AsSpan(0, ranks.Length);
        for (int i = 0; i < ranks.Length; i++)
        {
            total += importance[i];
            order[i] = ((ulong)~ranks[i] << 32) | (uint)i;
        }

        order.Sort();
        double held = 0;
        int count = 0;
        while (count < limit)
        {
            int entry = (int)(uint)order[count];
            if (held >= share * total && ranks[entry] != uint.MaxValue)
            {
                break;
            }

            held += importance[entry];
            count++;
        }

        return Math.Max(1, count);
    }

    private static float Pooled(ReadOnlySpan<float> importance, int index, int width)
    {
        int first = Math.Max(0, index - (width / 2));
        int end = Math.Min(importance.Length, index + (width / 2) + 1);
        float sum = 0;
        for (int i = first; i < end; i++)
        {
            sum += importance[i];
        }

        return sum / (end - first);
    }

    /// <summary>A number that sorts as the score does, below <see cref="uint.MaxValue"/>; NaN sorts last.</summary>
    private static uint RankOf(float score)
    {
        uint bits = BitConverter.SingleToUInt32Bits(score + 0f);
        return float.IsNaN(score) ? 0 : (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
    }
}
