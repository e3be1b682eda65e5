using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

/// <summary>select.cu and select_blocks.cu against a plain sort: ties, pooling, forced positions, mass, static pruning.</summary>
public class SelectKernelsTests
{
    private static readonly int[] Counts = TestShapes.Of([1, 2, 31, 32, 33, 127, 513, 1000, 2049, 4096, 4097, 8191, 8192, 8193, 20001], [1, 33, 1000, 8193]);

    // Several blocks with tiles of more than the fewest places, and of more than a block takes at once.
    private static readonly int[] ManyPlaces = TestShapes.Of([32769, 90001, 170000], [90001]);

    /// <summary>Counts of the above.</summary>
    public static TheoryData<int> Many => new(ManyPlaces);

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
    public void Scores_may_share_their_first_digits(int count, bool severalBlocks)
    {
        // All in one bin of the first histogram: one within it, the one below all, the one above all.
        Check(new Case(count, (count + 2) / 3) { Scores = (0.5f, 0.0625f) }, severalBlocks);
        Check(new Case(count, (count + 2) / 3) { Scores = (0, 1e-10f) }, severalBlocks);
        Check(new Case(count, (count + 2) / 3) { Scores = (3, 1000) }, severalBlocks);
        Check(new Case(count, count) { Scores = (0.5f, 0.0625f), Mass = 0.7 }, severalBlocks);
        Check(new Case(count, count) { Scores = (0, 1e-8f), Mass = 0.3 }, severalBlocks);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void All_may_have_slots_or_none_and_all_may_stay(int count, bool severalBlocks)
    {
        Check(new Case(count, (count + 1) / 2) { HaveSlots = 0 }, severalBlocks);
        Check(new Case(count, (count + 1) / 2) { HaveSlots = 3 }, severalBlocks);
        Check(new Case(count, count) { KeepFirst = count + 50 }, severalBlocks);
        Check(new Case(count, count) { IsStatic = true, HaveSlots = 0 }, severalBlocks);
    }

    [Theory]
    [MemberData(nameof(Many))]
    public void Many_places_take_many_blocks(int count)
    {
        Check(new Case(count, count / 3) { NewPositions = 500 }, severalBlocks: true);
        Check(new Case(count, count / 3) { DistinctScores = 1 }, severalBlocks: true);
        Check(new Case(count, count / 10) { DistinctScores = 50, Pool = 3, KeepFirst = 4, KeepRecent = 64 }, severalBlocks: true);
        Check(new Case(count, count) { Mass = 0.8 }, severalBlocks: true);
        Check(new Case(count, count) { IsStatic = true, NewPositions = 9 }, severalBlocks: true);
    }

    /// <summary>One after the other on the same memory: nothing of the first may be left.</summary>
    [Fact]
    public void What_several_blocks_share_need_not_be_clean()
    {
        using var bench = new KernelBench(TensorType.Float32);
        var scratch = (Keys: bench.Floats(20001), Shared: bench.Floats(SelectKernels.SharedBytes / 4));
        Check(new Case(20001, 9000), severalBlocks: true, bench, scratch);
        Check(new Case(9000, 100) { DistinctScores = 20 }, severalBlocks: true, bench, scratch);
        Check(new Case(15000, 15000) { IsStatic = true }, severalBlocks: true, bench, scratch);
        Check(new Case(33, 7), severalBlocks: true, bench, scratch);
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
        Check(input, severalBlocks, bench, (bench.Floats(input.Count), bench.Floats(SelectKernels.SharedBytes / 4)));
    }

    private static void Check(Case input, bool severalBlocks, KernelBench bench, (ulong Keys, ulong Shared) scratch)
    {
        var random = new Random(input.Count);
        int length = input.Count + 50;
        int[] positions = bench.Positions(input.Count, length);
        positions[^1] = length - 1;
        int firstNew = length - input.NewPositions;
        float[] importance = [.. Enumerable.Range(0, input.Count).Select(_ => input.Score(random))];
        int slotCount = 0;
        int[] slotOf = new int[length];
        Array.Fill(slotOf, -1);
        foreach (int position in positions)
        {
            if (position < firstNew && random.Next(3) < input.HaveSlots)
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
                Keys = scratch.Keys,
                Shared = scratch.Shared,
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
        Assert.Equal(computed.Select(p => Array.BinarySearch(expected, p)), bench.ReadIntegers(places, computed.Length));
        for (int i = 0; i < computed.Length; i++)
        {
            slotOf[computed[i]] = slotCount + i;
        }

        Assert.Equal(slotOf, bench.ReadIntegers(slotOfThere, length));
        Assert.Equal(expected.Select(p => slotOf[p]), bench.ReadIntegers(slots, expected.Length));
    }

    private sealed record Case(int Count, int KeepCount)
    {
        /// <summary>How many there are, 0 for no limit.</summary>
        public int DistinctScores { get; init; }

        /// <summary>The lowest, and how much higher they are; without, a share of 1.</summary>
        public (float Lowest, float Range)? Scores { get; init; }

        /// <summary>Thirds of the older positions that have a slot.</summary>
        public int HaveSlots { get; init; } = 2;

        public int Pool { get; init; } = 1;

        public int KeepFirst { get; init; }

        public int KeepRecent { get; init; } = 1;

        public double Mass { get; init; }

        public bool IsStatic { get; init; }

        public int NewPositions { get; init; } = 1;

        public float Score(Random random) =>
            DistinctScores > 0 ? random.Next(DistinctScores) * 0.25f / Count
            : Scores is { } scores ? scores.Lowest + (random.NextSingle() * scores.Range)
            : random.NextSingle() / Count;

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
