using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;
using Xunit;

namespace LazyLlm.Native.Tests.Pruning;

public class PruningScheduleTests
{
    [Theory]
    [InlineData("none")]
    [InlineData("paper")]
    [InlineData("fast")]
    [InlineData("9:0.7,19:0.49,28:0.343")]
    [InlineData("1:1")]
    [InlineData("4:0.1;layers=4;queries=8;pool=7;first=4;recent=16;mass=0.9;revive=no")]
    [InlineData("paper;recent=32")]
    public void Text_reads_back_as_itself(string text)
    {
        var schedule = PruningSchedule.Parse(text);
        Assert.Equal(text, schedule.ToString());
        Assert.Equal(schedule, PruningSchedule.Parse(schedule.ToString()));
        Assert.Equal(schedule.GetHashCode(), PruningSchedule.Parse(text).GetHashCode());
    }

    [Fact]
    public void White_space_around_parts_is_allowed() =>
        Assert.Equal(PruningSchedule.Parse("9:0.7,19:0.49;pool=7"), PruningSchedule.Parse(" 9:0.7 , 19:0.49 ; pool=7 "));

    [Theory]
    [InlineData("", "empty")]
    [InlineData("sometimes", "'sometimes'")]
    [InlineData("3", "'3'")]
    [InlineData("3:", "'3:'")]
    [InlineData("3:0.5,", "''")]
    [InlineData("x:0.5", "'x:0.5'")]
    [InlineData("3:0,5", "'5'")]
    [InlineData("3:0", "keep 0")]
    [InlineData("3:-0.5", "keep -0.5")]
    [InlineData("3:NaN", "keep NaN")]
    [InlineData("3:1.01", "keep 1.01")]
    [InlineData("3:Infinity", "keep")]
    [InlineData("0:0.5", "layer 0")]
    [InlineData("-1:0.5", "layer -1")]
    [InlineData("3:0.5,3:0.4", "layer 3 follows layer 3")]
    [InlineData("5:0.5,3:0.4", "layer 3 follows layer 5")]
    [InlineData("3:0.4,5:0.5", "keep 0.5")]
    [InlineData("99999999999:0.5", "'99999999999:0.5'")]
    [InlineData("3:0.5;pool=2", "'pool'")]
    [InlineData("3:0.5;recent=0", "'recent'")]
    [InlineData("3:0.5;first=-1", "'first'")]
    [InlineData("3:0.5;mass=0", "'mass'")]
    [InlineData("3:0.5;mass=NaN", "'mass'")]
    [InlineData("3:0.5;layers=0", "'layers'")]
    [InlineData("3:0.5;queries=x", "'queries'")]
    [InlineData("3:0.5;revive=maybe", "'revive'")]
    [InlineData("3:0.5;speed=9", "'speed'")]
    public void What_is_no_schedule_says_what_is_wrong(string text, string expected)
    {
        var error = Assert.Throws<InvalidOptionException>(() => PruningSchedule.Parse(text));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_layer_beyond_the_model_names_both()
    {
        var error = Assert.Throws<InvalidOptionException>(() => PruningSchedule.Parse("3:0.5,12:0.1").PlanFor(12));
        Assert.Contains("12", error.Message, StringComparison.Ordinal);
        Assert.Contains("11", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(32, "9:0.7,19:0.49,28:0.343")]
    [InlineData(12, "3:0.7,7:0.49,11:0.343")]
    [InlineData(40, "11:0.7,24:0.49,35:0.343")]
    [InlineData(2, "1:0.49")]
    [InlineData(1, "none")]
    public void The_papers_preset_scales_with_depth(int layers, string expected)
    {
        StagePlan plan = PruningSchedule.Paper.PlanFor(layers);
        StagePlan written = PruningSchedule.Parse(expected).PlanFor(layers);
        Assert.Equal(written.Stages.Select(s => (s.FirstLayer, s.EndLayer)), plan.Stages.Select(s => (s.FirstLayer, s.EndLayer)));
        Assert.All(written.Stages.Zip(plan.Stages), pair => Assert.Equal(pair.First.Keep, pair.Second.Keep, 12));
    }

    [Fact]
    public void The_fast_preset_keeps_a_third_each_time() =>
        Assert.Equal([1, 0.35, 0.1225, 0.042875], PruningSchedule.Fast.PlanFor(32).Stages.Select(s => Math.Round(s.Keep, 9)));

    [Theory]
    [InlineData(0.7, 10, 10, 7)]
    [InlineData(0.1, 1, 1, 1)]
    [InlineData(0.001, 100, 100, 1)]
    [InlineData(0.3, 10, 10, 3)]
    [InlineData(0.34, 10, 10, 4)]
    [InlineData(1, 10, 10, 10)]
    [InlineData(0.9, 10, 5, 5)]
    public void Keep_count_is_the_ceiling_of_the_share(double keep, int length, int previous, int expected)
    {
        StagePlan plan = PruningSchedule.Create([new PruningPoint(1, keep)]).PlanFor(4);
        Assert.Equal(expected, plan.KeepCount(plan.Stages[1], length, previous));
    }

    [Fact]
    public void Keep_count_holds_what_the_rule_forces()
    {
        StagePlan plan = PruningSchedule.Parse("1:0.1;first=4;recent=16").PlanFor(4);
        Assert.Equal(20, plan.KeepCount(plan.Stages[1], 100, 100));
        Assert.Equal(12, plan.KeepCount(plan.Stages[1], 12, 12));
    }
}
