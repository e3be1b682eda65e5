using LazyLlm.Native.Backends;
using LazyLlm.Native.Backends.Cpu;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

public class TokenSelectionTests
{
    private static readonly CpuStageCache NoCache = new(0, 0, 1);

    [Fact]
    public void Keeps_the_highest_and_of_equal_ones_the_lower_position()
    {
        var random = new Random(1);
        var selection = new TokenSelection();
        for (int round = 0; round < 300; round++)
        {
            int count = random.Next(1, 200);

            // Few distinct values, so that ties at the border are the rule.
            float[] importance = [.. Enumerable.Range(0, count).Select(_ => random.Next(6) / 7f * (random.Next(4) == 0 ? 1e-30f : 1f))];
            int[] positions = [.. Enumerable.Range(0, count).Select(i => (3 * i) + random.Next(3))];
            var request = new SelectionRequest(1, random.Next(1, count + 1), positions[^1] + 1, 0, true, 1 + (2 * random.Next(3)), random.Next(4), 1 + random.Next(3), 0, false);
            int[] expected = Sorted(importance, positions, request, request.KeepCount);
            int kept = selection.Select(importance, positions, count, NoCache, request);
            Assert.Equal(expected, positions[..kept]);
        }
    }

    [Fact]
    public void The_newest_stays_even_where_every_other_scores_higher()
    {
        int[] positions = [0, 1, 2, 3];
        var request = new SelectionRequest(1, 1, 4, 0, true, 1, 0, 1, 0, false);
        Assert.Equal(1, new TokenSelection().Select([0.5f, 0.3f, 0.2f, 0f], positions, 4, NoCache, request));
        Assert.Equal(3, positions[0]);
    }

    [Theory]
    [InlineData(0.5, 2)]
    [InlineData(0.75, 3)]
    [InlineData(1.0, 4)]
    public void By_attention_mass_the_smallest_set_that_holds_the_share(double mass, int expected)
    {
        // The newest stays and counts first: 0.125; then 0.5, 0.25, 0.125.
        int[] positions = [0, 1, 2, 3];
        var request = new SelectionRequest(1, 4, 4, 0, true, 1, 0, 1, mass, false);
        Assert.Equal(expected, new TokenSelection().Select([0.25f, 0.125f, 0.5f, 0.125f], positions, 4, NoCache, request));
        Assert.Equal(3, positions[expected - 1]);
    }

    [Fact]
    public void Static_pruning_keeps_what_the_stage_has_and_what_is_new()
    {
        using var cache = new CpuStageCache(0, 1, 1);
        cache.Reserve(2, 6);
        cache.Add(1);
        cache.Add(4);
        int[] positions = [0, 1, 2, 3, 4, 5];
        var request = new SelectionRequest(1, 6, 6, 5, false, 1, 0, 1, 0, true);
        int kept = new TokenSelection().Select([1, 1, 1, 1, 1, 1], positions, 6, cache, request);
        Assert.Equal([1, 4, 5], positions[..kept]);
    }

    [Fact]
    public void Nothing_is_allocated_once_the_length_has_been_seen()
    {
        var selection = new TokenSelection();
        float[] importance = new float[500];
        int[] positions = [.. Enumerable.Range(0, 500)];
        var request = new SelectionRequest(1, 300, 500, 0, true, 1, 0, 1, 0.9, false);
        selection.Select(importance, positions, 500, NoCache, request);
        long before = GC.GetAllocatedBytesForCurrentThread();
        selection.Select(importance, positions, 500, NoCache, request);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private static int[] Sorted(float[] importance, int[] positions, SelectionRequest request, int keepCount)
    {
        int half = request.PoolWidth / 2;
        float Score(int i)
        {
            if (positions[i] < request.KeepFirst || positions[i] > request.Length - 1 - request.KeepRecent)
            {
                return float.PositiveInfinity;
            }

            int first = Math.Max(0, i - half);
            int end = Math.Min(importance.Length, i + half + 1);
            float sum = 0;
            for (int j = first; j < end; j++)
            {
                sum += importance[j];
            }

            return sum / (end - first);
        }

        return [.. Enumerable.Range(0, positions.Length).OrderByDescending(Score).ThenBy(i => i).Take(keepCount).Order().Select(i => positions[i])];
    }
}
