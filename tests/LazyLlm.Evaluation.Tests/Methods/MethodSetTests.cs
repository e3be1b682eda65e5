using LazyLlm.Evaluation.Methods;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Tests.Methods;

public sealed class MethodSetTests
{
    [Theory]
    [InlineData("4:0.1", 12)]
    [InlineData("paper", 32)]
    [InlineData("9:0.5,20:0.2;recent=8;pool=3", 32)]
    public void Baselines_compute_as_much_of_the_prefill_as_the_schedule(string text, int layerCount)
    {
        var schedule = PruningSchedule.Parse(text);
        double share = ScheduleMethod.LazyLlm(schedule).PrefillShare(layerCount);
        IReadOnlyList<IEvaluationMethod> methods = MethodSet.Create(MethodSet.Families, [schedule], layerCount);
        Assert.Equal(["Baseline", "Random Token Drop", "Static Token Pruning", "Prompt Compression", "LazyLLM"], methods.Select(method => method.Family));
        Assert.All(methods.Skip(1), method => Assert.Equal(share, method.PrefillShare(layerCount), 3));
        PruningSchedule fixedOnce = methods[2].Schedule;
        Assert.Equal(schedule.Rule with { Revive = false }, fixedOnce.Rule);
        Assert.Equal(layerCount == 32 ? 3 : 1, fixedOnce.Points.Single().Layer);
        Assert.Equal(5, methods[1].RunCount);
    }

    [Fact]
    public void Methods_of_several_schedules_are_named_once()
    {
        IReadOnlyList<IEvaluationMethod> methods = MethodSet.Create(["dense", "lazyllm"], [PruningSchedule.Paper, PruningSchedule.Fast, PruningSchedule.Paper], 12);
        Assert.Equal(["dense", "lazyllm paper", "lazyllm fast"], methods.Select(method => method.Name));
    }

    [Fact]
    public void An_unknown_family_lists_the_known_ones()
        => Assert.Contains("compression", Assert.Throws<InvalidOptionException>(() => MethodSet.Create(["h2o"], [], 12)).Message, StringComparison.Ordinal);
}
