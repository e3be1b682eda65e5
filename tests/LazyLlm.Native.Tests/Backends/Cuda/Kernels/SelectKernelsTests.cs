using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

/// <summary>select.cu against a plain sort: one block and several, ties, pooling, forced positions, mass, static pruning.</summary>
public class SelectKernelsTests
{
    private static readonly int[] Counts = TestShapes.Of([1, 2, 31, 32, 33, 127, 1000, 4097, 8191, 8192, 8193, 20001], [1, 33, 1000, 8193]);

    /// <summary>One block where it suffices, several everywhere.</summary>
    public static MatrixTheoryData<int, bool> Sizes => new(Counts, [false, true]);

    [Theory]
    [MemberData(nameof(Sizes))]
    public void The_highest_scores_are_kept_in_position_order(int count, bool severalBlocks)
    {
        foreach (double keep in TestShapes.Of([0.0, 0.1, 0.5, 1.0], [0.1, 1.0]))
        {
            Check(new Case(count, Math.Max(1, (int)(keep * count))), severalBlocks);
        }
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Among_equal_scores_the_lower_position_stays(int count, bool severalBlocks)
    {
        Check(new Case(count, (count + 2) / 3) { DistinctScores = 1 }, severalBlocks);
        Check(new Case(count, (count + 1) / 2) { DistinctScores = 3 }, severalBlocks);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void First_and_recent_positions_stay_and_scores_are_pooled(int count, bool severalBlocks)
    {
        Check(new Case(count, Math.Min(count, 40)) { KeepFirst = 4, KeepRecent = 32 }, severalBlocks);
        Check(new Case(count, (count + 3) / 4) { Pool = 7, KeepFirst = 2 }, severalBlocks);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void The_smallest_set_that_holds_the_mass_is_kept(int count, bool severalBlocks)
    {
        Check(new Case(count, count) { Mass = 0.6 }, severalBlocks);
        Check(new Case(count, count) { Mass = 0.5, DistinctScores = 2 }, severalBlocks);
        // No fewer than the first and the newest, which always stay.
        Check(new Case(count, Math.Min(count, Math.Max(2, count / 20))) { Mass = 0.9, KeepFirst = 1 }, severalBlocks);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Static_pruning_keeps_what_has_a_slot_and_what_is_new(int count, bool severalBlocks) =>
        Check(new Case(count, count) { IsStatic = true, NewPositions = 1 + (count / 10) }, severalBlocks);

    [Theory]
    [InlineData(1, 0)]
    [InlineData(40, 0)]
    [InlineData(1500, 1400)]
    public void The_first_stage_takes_all(int length, int firstNew)
    {
        using var bench = new KernelBench(TensorType.Float32);
        int[] before = [.. Enumerable.Range(0, length).Select(p => p < firstNew ? p : -1)];
        int rows = length - firstNew;
        ulong[] lists = [.. Enumerable.Range(0, 5).Select(_ => bench.Floats(length))];
        ulong slotOf = bench.Upload(before);
        ulong state = bench.Floats(4);
        new SelectKernels(bench.Library).LaunchTakeAll(bench.Stream, new TakeAllArgs
        {
            Positions = lists[0], Slots = lists[1], ComputePositions = lists[2], ComputeSlots = lists[3], ComputePlaces = lists[4],
            SlotOf = slotOf, State = state, FirstNew = firstNew, Length = length,
        });
        int[] all = [.. Enumerable.Range(0, length)];
        Assert.Equal(all, bench.ReadIntegers(lists[0], length));
        Assert.Equal(all, bench.ReadIntegers(lists[1], length));
        Assert.All(lists[2..], list => Assert.Equal(all[firstNew..], bench.ReadIntegers(list, rows)));
        Assert.Equal(all, bench.ReadIntegers(slotOf, length));
        Assert.Equal([rows, length, 0, length], bench.ReadIntegers(state, 4));
    }

    private static void Check(Case input, bool severalBlocks)
    {
        using var bench = new KernelBench(TensorType.Float32, seed: input.Count + input.KeepCount);
        var random = new Random(input.Count);
        int length = input.Count + 50;
        int[] positions = bench.Positions(input.Count, length);
        positions[^1] = length - 1;
        int firstNew = length - input.NewPositions;
        float[] importance = [.. Enumerable.Range(0, input.Count).Select(_ => input.DistinctScores > 0 ? random.Next(input.DistinctScores) * 0.25f / input.Count : random.NextSingle() / input.Count)];
        int slotCount = 0;
        int[] slotOf = new int[length];
        Array.Fill(slotOf, -1);
        foreach (int position in positions)
        {
            if (position < firstNew && random.Next(3) > 0)
            {
                slotOf[position] = slotCount++;
            }
        }

        int[] expected = input.Choose(positions, importance, slotOf, length, firstNew);
        int[] computed = [.. expected.Where(p => slotOf[p] < 0)];
        ulong next = bench.Floats(length), slots = bench.Floats(length), computePositions = bench.Floats(length), computeSlots = bench.Floats(length), places = bench.Floats(length);
        ulong slotOfThere = bench.Upload(slotOf);
        ulong state = bench.Floats(4);
        new SelectKernels(bench.Library).LaunchSelect(
            bench.Stream,
            new SelectArgs
            {
                Importance = bench.Upload(importance),
                Positions = bench.Upload(positions),
                NextPositions = next,
                NextSlots = slots,
                ComputePositions = computePositions,
                ComputeSlots = computeSlots,
                ComputePlaces = places,
                SlotOf = slotOfThere,
                Keys = bench.Floats(input.Count),
                Shared = bench.Floats(SelectKernels.SharedBytes / 4),
                State = state,
                Mass = input.Mass,
                Count = input.Count,
                KeepCount = input.KeepCount,
                Length = length,
                FirstNew = firstNew,
                SlotCount = slotCount,
                Pool = input.Pool,
                KeepFirst = input.KeepFirst,
                KeepRecent = input.KeepRecent,
                IsStatic = input.IsStatic ? 1 : 0,
            },
            severalBlocks);

        int[] counts = bench.ReadIntegers(state, 4);
        Assert.Equal([computed.Length, expected.Length, computed.Count(p => p < firstNew), slotCount + computed.Length], counts);
        Assert.Equal(expected, bench.ReadIntegers(next, expected.Length));
        Assert.Equal(computed, bench.ReadIntegers(computePositions, computed.Length));
        Assert.Equal(Enumerable.Range(slotCount, computed.Length), bench.ReadIntegers(computeSlots, computed.Length));
        Assert.Equal(computed.Select(p => Array.IndexOf(expected, p)), bench.ReadIntegers(places, computed.Length));
        for (int i = 0; i < computed.Length; i++)
        {
            slotOf[computed[i]] = slotCount + i;
        }

        Assert.Equal(slotOf, bench.ReadIntegers(slotOfThere, length));
        Assert.Equal(expected.Select(p => slotOf[p]), bench.ReadIntegers(slots, expected.Length));
    }

    private sealed record Case(int Count, int KeepCount)
    {
        public int DistinctScores { get; init; }

        public int Pool { get; init; } = 1;

        public int KeepFirst { get; init; }

        public int KeepRecent { get; init; } = 1;

        public double Mass { get; init; }

        public bool IsStatic { get; init; }

        public int NewPositions { get; init; } = 1;

        /// <summary>What must be kept, by sorting. Mass is summed in the kernel's fixed point, where order does not matter.</summary>
        public int[] Choose(int[] positions, float[] importance, int[] slotOf, int length, int firstNew)
        {
            if (IsStatic)
            {
                return [.. positions.Where(p => p >= firstNew || slotOf[p] >= 0)];
            }

            bool Stays(int place) => positions[place] < KeepFirst || positions[place] >= length - KeepRecent;
            float Score(int place)
            {
                int first = Math.Max(0, place - (Pool / 2));
                int end = Math.Min(Count, place + (Pool / 2) + 1);
                float sum = 0;
                for (int i = first; i < end; i++)
                {
                    sum += importance[i];
                }

                return Pool == 1 ? importance[place] : sum / (end - first);
            }

            float[] scores = [.. Enumerable.Range(0, Count).Select(place => Stays(place) ? float.PositiveInfinity : Score(place))];
            int[] order = [.. Enumerable.Range(0, Count).OrderByDescending(place => scores[place]).ThenBy(place => place)];
            int kept = KeepCount;
            if (Mass > 0)
            {
                ulong Fixed(int place) => (ulong)(importance[place] * 1099511627776.0f);
                ulong total = order.Aggregate(0UL, (sum, place) => sum + Fixed(place));
                ulong target = Math.Max(1, (ulong)(total * Mass));
                ulong held = 0;
                for (kept = 0; kept < KeepCount && (held < target || Stays(order[kept])); kept++)
                {
                    held += Fixed(order[kept]);
                }
            }

            return [.. order[..kept].Order().Select(place => positions[place])];
        }
    }
}
