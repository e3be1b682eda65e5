using LazyLlm.Native.Errors;
using LazyLlm.Native.Sampling;
using Xunit;

namespace LazyLlm.Native.Tests.Sampling;

public class SamplingOptionsTests
{
    public static TheoryData<string, SamplingOptions> Refused => new()
    {
        { "Temperature", new SamplingOptions { Temperature = float.NaN } },
        { "Temperature", new SamplingOptions { Temperature = float.PositiveInfinity } },
        { "Temperature", new SamplingOptions { Temperature = -0.1f } },
        { "TopK", new SamplingOptions { TopK = -1 } },
        { "TopP", new SamplingOptions { TopP = -0.1f } },
        { "TopP", new SamplingOptions { TopP = 1.01f } },
        { "TopP", new SamplingOptions { TopP = float.NaN } },
        { "MinP", new SamplingOptions { MinP = 2 } },
        { "MinP", new SamplingOptions { MinP = float.NaN } },
        { "RepetitionPenalty", new SamplingOptions { RepetitionPenalty = 0 } },
        { "RepetitionPenalty", new SamplingOptions { RepetitionPenalty = float.NaN } },
        { "RepetitionWindow", new SamplingOptions { RepetitionWindow = -1 } },
        { "RepetitionWindow", new SamplingOptions { RepetitionWindow = int.MaxValue } },
        { "MaxTokens", new SamplingOptions { MaxTokens = 0 } },
        { "MaxTokens", new SamplingOptions { MaxTokens = int.MinValue } },
        { "StopStrings[1]", new SamplingOptions { StopStrings = ["a", ""] } },
        { "StopStrings[0]", new SamplingOptions { StopStrings = ["x\ud83d"] } },
        { "StopStrings", new SamplingOptions { StopStrings = [new string('x', SamplingOptions.MostStopCharacters), "y"] } },
        { "StopStrings", new SamplingOptions { StopStrings = null! } },
        { "StopTokens[0]", new SamplingOptions { StopTokens = [-1] } },
        { "StopTokens[1]", new SamplingOptions { StopTokens = [31999, 32000] } },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void An_option_out_of_range_is_refused_by_name(string option, SamplingOptions options)
    {
        var error = Assert.Throws<InvalidOptionException>(() => options.Validate(32000));
        Assert.Equal(option, error.Option);
        Assert.Contains("found", error.Message);
        Assert.Contains("expected", error.Message);
        Assert.Throws<InvalidOptionException>(() => new Sampler(options, 32000));
    }

    [Fact]
    public void The_borders_are_inside()
    {
        new SamplingOptions().Validate();
        new SamplingOptions
        {
            Temperature = float.MaxValue,
            TopK = int.MaxValue,
            TopP = 0,
            MinP = 1,
            RepetitionPenalty = 1000,
            RepetitionWindow = 0,
            Seed = ulong.MaxValue,
            MaxTokens = int.MaxValue,
            StopStrings = ["x", "\U0001F600", .. Enumerable.Range(0, 10_000).Select(i => $"stop {i}")],
            StopTokens = [0, 31999],
        }.Validate(32000);
    }
}
