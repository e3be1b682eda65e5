using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Sampling;
using Xunit;

namespace LazyLlm.Native.Tests.Sampling;

public class SamplerTests
{
    private static readonly float[] Logits = [0.5f, 3, -2, 3, 1, float.NegativeInfinity, 2];

    [Fact]
    public void Greedy_takes_the_highest_logit_and_the_lowest_id_of_equals()
    {
        Assert.Equal(1, Choose(new SamplingOptions(), Logits));
        Assert.Equal(0, Choose(new SamplingOptions(), [-0f, 0f]));
        Assert.Equal(0, Choose(new SamplingOptions(), new float[1000]));
        Assert.Equal(2, Choose(new SamplingOptions(), [float.NegativeInfinity, -5, float.MaxValue, float.MinValue]));
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1.7f)]
    public void The_log_probability_is_that_of_the_logits_as_they_came(float temperature)
    {
        var sampler = new Sampler(new SamplingOptions { Temperature = temperature, TopK = 3, RepetitionPenalty = 2, Seed = 3 }, Logits.Length);
        sampler.Observe([1, 6]);
        SampledToken token = sampler.Sample(Logits);
        double sum = Logits.Sum(logit => Math.Exp(logit));
        Assert.Equal(Math.Log(Math.Exp(Logits[token.Id]) / sum), token.LogProbability, 5);
    }

    [Fact]
    public void The_same_seed_draws_the_same_and_another_seed_otherwise()
    {
        int[] first = Draw(new SamplingOptions { Temperature = 1, Seed = 7 }, Logits, 50);
        Assert.Equal(first, Draw(new SamplingOptions { Temperature = 1, Seed = 7 }, Logits, 50));
        Assert.NotEqual(first, Draw(new SamplingOptions { Temperature = 1, Seed = 8 }, Logits, 50));
        // Without a seed one is drawn, and using it again repeats the answer.
        var unseeded = new Sampler(new SamplingOptions { Temperature = 1 }, Logits.Length);
        int[] drawn = [.. Enumerable.Range(0, 50).Select(_ => unseeded.Sample(Logits).Id)];
        Assert.Equal(drawn, Draw(new SamplingOptions { Temperature = 1, Seed = unseeded.Seed }, Logits, 50));
    }

    [Fact]
    public void A_seed_means_the_same_everywhere_and_forever()
    {
        // From the published generators and the cumulative sum over ids, worked out apart from this code.
        int[] expected = [3, 3, 1, 1, 3, 6, 3, 3, 4, 6, 1, 1];
        Assert.Equal(expected, Draw(new SamplingOptions { Temperature = 1, Seed = 0 }, Logits, expected.Length));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(ulong.MaxValue)]
    public void Drawn_tokens_come_up_as_often_as_their_probability_says(ulong seed)
    {
        const int Draws = 40_000;
        const float Temperature = 1.5f;
        int[] counts = new int[Logits.Length];
        foreach (int token in Draw(new SamplingOptions { Temperature = Temperature, Seed = seed }, Logits, Draws))
        {
            counts[token]++;
        }

        double sum = Logits.Sum(logit => Math.Exp(logit / Temperature));
        for (int token = 0; token < counts.Length; token++)
        {
            double expected = Math.Exp(Logits[token] / Temperature) / sum;
            Assert.Equal(expected, (double)counts[token] / Draws, 0.012);
        }
    }

    [Fact]
    public void Extreme_options_leave_a_token_to_choose()
    {
        Assert.Equal(1, Choose(new SamplingOptions { Temperature = 1e-40f, Seed = 1, TopK = 1 }, Logits));
        Assert.True(Choose(new SamplingOptions { Temperature = float.Epsilon, Seed = 1 }, Logits) is 1 or 3);
        Assert.NotEqual(5, Choose(new SamplingOptions { Temperature = float.MaxValue, Seed = 1 }, Logits));
        Assert.Equal(1, Choose(new SamplingOptions { Temperature = 1, TopP = 0, Seed = 1 }, Logits));
        Assert.True(Choose(new SamplingOptions { Temperature = 1, MinP = 1, Seed = 1 }, Logits) is 1 or 3);
        Assert.NotEqual(5, Choose(new SamplingOptions { Temperature = 1, TopK = int.MaxValue, Seed = 1 }, Logits));
        Assert.Equal(0, Choose(new SamplingOptions { Temperature = 1, TopK = 5, TopP = 0.9f, MinP = 0.1f }, [7]));
    }

    [Property(MaxTest = 300)]
    public Property Filters_keep_what_a_plain_sort_keeps()
    {
        var cases = from logits in Gen.Choose(-30, 30).Select(tenth => tenth / 10f).ArrayOf().Where(array => array.Length > 0)
                    from topK in Gen.Choose(0, 12)
                    from topP in Gen.Choose(0, 10)
                    from minP in Gen.Choose(0, 10)
                    from seed in Gen.Choose(0, 1000)
                    select (logits, new SamplingOptions { Temperature = 0.8f, TopK = topK, TopP = topP / 10f, MinP = minP / 10f, Seed = (ulong)seed });
        return Prop.ForAll(cases.ToArbitrary(), input =>
        {
            (float[] logits, SamplingOptions options) = input;
            HashSet<int> allowed = PlainFilter(logits, options);
            int[] drawn = Draw(options, logits, 40);
            return drawn.All(allowed.Contains) && (allowed.Count > 1 || drawn[0] == allowed.Single());
        });
    }

    [Fact]
    public void Every_token_that_the_filters_keep_comes_up_in_the_end()
    {
        var options = new SamplingOptions { Temperature = 3, TopK = 4, TopP = 0.99f, MinP = 0.05f, Seed = 5 };
        Assert.Equal(PlainFilter(Logits, options).Order(), Draw(options, Logits, 500).Distinct().Order());
    }

    [Fact]
    public void The_repetition_penalty_looks_at_its_window_only_and_counts_a_token_once()
    {
        var sampler = new Sampler(new SamplingOptions { RepetitionPenalty = 2, RepetitionWindow = 2 }, 3);
        sampler.Observe([2, 2, 2]);
        // Token 2 falls to 2.5, once; were it twice, token 1 would win.
        Assert.Equal(2, sampler.Sample([-1, 2, 5]).Id);
        Assert.Equal(1, sampler.Sample([-1, 3, 5]).Id);
        // The window is now {2, 1}: 2.5 and 1.5. Then {1, 2}, then {2, 2}.
        Assert.Equal(2, sampler.Sample([-1, 3, 5]).Id);
        Assert.Equal(2, sampler.Sample([-1, 3, 8]).Id);
        Assert.Equal(1, sampler.Sample([-1, 3, 5]).Id);
        // Negative logits move down, not up.
        Assert.Equal(0, sampler.Sample([-3, -2, -1.6f]).Id);
    }

    [Fact]
    public void The_window_covers_no_more_than_it_should()
    {
        var sampler = new Sampler(new SamplingOptions { RepetitionPenalty = 100, RepetitionWindow = 3 }, 5);
        sampler.Observe([0, 1, 2, 3]);
        Assert.Equal(0, sampler.Sample([1, 9, 9, 9, 0.5f]).Id);
        Assert.Equal(1, sampler.Sample([1, 9, 9, 9, 0.5f]).Id);
    }

    [Fact]
    public void Logits_without_a_choice_are_a_typed_error()
    {
        foreach (float temperature in (float[])[0, 1])
        {
            var sampler = new Sampler(new SamplingOptions { Temperature = temperature }, 3);
            Assert.Contains("token 1 is NaN", Assert.Throws<InvalidLogitsException>(() => sampler.Sample([1, float.NaN, float.PositiveInfinity])).Message);
            Assert.Contains("token 2", Assert.Throws<InvalidLogitsException>(() => sampler.Sample([1, 1, float.PositiveInfinity])).Message);
            float[] none = [float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity];
            Assert.Contains("All 3", Assert.Throws<InvalidLogitsException>(() => sampler.Sample(none)).Message);
            Assert.Throws<ArgumentException>(() => sampler.Sample([1, 2]));
            Assert.Throws<InvalidOptionException>(() => sampler.Observe([3]));
            Assert.Throws<InvalidOptionException>(() => sampler.Observe([-1]));
        }
    }

    [Fact]
    public void Sampling_allocates_nothing()
    {
        var sampler = new Sampler(new SamplingOptions { Temperature = 1, TopK = 500, TopP = 0.9f, MinP = 0.01f, RepetitionPenalty = 1.1f }, 32000);
        float[] logits = [.. Enumerable.Range(0, 32000).Select(i => MathF.Sin(i) * 5)];
        sampler.Sample(logits);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
        {
            sampler.Sample(logits);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static int Choose(SamplingOptions options, float[] logits) => new Sampler(options, logits.Length).Sample(logits).Id;

    private static int[] Draw(SamplingOptions options, float[] logits, int count)
    {
        var sampler = new Sampler(options, logits.Length);
        return [.. Enumerable.Range(0, count).Select(_ => sampler.Sample(logits).Id)];
    }

    // The filters as their definitions say, by a full sort. Nothing here is close to a border: logits are tenths.
    private static HashSet<int> PlainFilter(float[] logits, SamplingOptions options)
    {
        double highest = logits.Max();
        var ranked = logits.Select((logit, id) => (Id: id, Weight: Math.Exp((logit - highest) / options.Temperature)))
            .Where(candidate => candidate.Weight > 0).OrderByDescending(candidate => candidate.Weight).ThenBy(candidate => candidate.Id).ToList();
        if (options.TopK > 0)
        {
            ranked = [.. ranked.Take(options.TopK)];
        }

        double wanted = options.TopP * ranked.Sum(candidate => candidate.Weight);
        int kept = 1;
        for (double reached = ranked[0].Weight; kept < ranked.Count && reached < wanted - 1e-6; kept++)
        {
            reached += ranked[kept].Weight;
        }

        return [.. ranked.Take(kept).Where(candidate => candidate.Weight >= options.MinP - 1e-6).Select(candidate => candidate.Id)];
    }
}
