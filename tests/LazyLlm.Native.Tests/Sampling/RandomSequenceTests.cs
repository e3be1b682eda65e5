using LazyLlm.Native.Sampling;
using Xunit;

namespace LazyLlm.Native.Tests.Sampling;

public class RandomSequenceTests
{
    [Fact]
    public void Xoshiro256_gives_its_published_sequence()
    {
        var random = new RandomSequence(1, 2, 3, 4);
        ulong[] expected = [11520, 0, 1509978240, 1215971899390074240];
        Assert.Equal(expected, expected.Select(_ => random.Next()));
    }

    [Fact]
    public void Splitmix64_gives_its_published_sequence()
    {
        ulong state = 0;
        Assert.Equal(0xE220A8397B1DCDAF, RandomSequence.SplitMix(ref state));
        Assert.Equal(0x6E789E6AA1B965F4UL, RandomSequence.SplitMix(ref state));
    }

    [Fact]
    public void Numbers_lie_from_0_to_below_1_and_spread_evenly()
    {
        var random = new RandomSequence(ulong.MaxValue);
        double[] numbers = [.. Enumerable.Range(0, 10_000).Select(_ => random.NextDouble())];
        Assert.All(numbers, number => Assert.InRange(number, 0, Math.BitDecrement(1.0)));
        Assert.Equal(0.5, numbers.Average(), 0.02);
    }
}
