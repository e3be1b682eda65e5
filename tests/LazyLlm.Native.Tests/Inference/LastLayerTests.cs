using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tests.Scheduling;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

/// <summary>Of the model's last layer, only K and V of all rows and the newest row's output are computed, unless every row is asked for.</summary>
public class LastLayerTests
{
    [Theory]
    [InlineData("none", 20)]
    [InlineData("2:0.5", 10)]
    public void Past_K_and_V_the_last_layer_works_on_the_newest_row(string schedule, int lastStageRows)
    {
        (LlamaEngine engine, ObservedOperations operations) = SchedulerCases.Observed();
        using LlamaEngine model = engine;
        using Session session = engine.CreateSession(PruningSchedule.Parse(schedule));
        List<(string Operation, int Rows, int Layer)> seen = [];
        operations.Before = (name, rows, layer) => seen.Add((name, rows, layer));
        session.Step(SchedulerCases.Request(20, schedule, 1).Tokens.Span, TestContext.Current.CancellationToken);
        int last = engine.Config.LayerCount - 1;
        Assert.Equal(lastStageRows, Rows("QueryKeyValue", last));
        Assert.Equal(lastStageRows, Rows("RopeToCache", last));
        Assert.All((string[])["AttentionOutput", "GateUp", "Down"], name => Assert.Equal((lastStageRows, 1), (Rows(name, last - 1), Rows(name, last))));

        seen.Clear();
        session.Step([7], TestContext.Current.CancellationToken);
        Assert.Equal(1, Rows("Down", last));

        int Rows(string operation, int layer) => Assert.Single(seen, entry => entry.Operation == operation && entry.Layer == layer).Rows;
    }

    [Fact]
    public void Scoring_takes_every_row_through_the_last_layer()
    {
        (LlamaEngine engine, ObservedOperations operations) = SchedulerCases.Observed();
        using LlamaEngine model = engine;
        using Session session = engine.CreateSession(PruningSchedule.None);
        List<int> rows = [];
        operations.Before = (name, count, layer) =>
        {
            if (name == "Down" && layer == engine.Config.LayerCount - 1)
            {
                rows.Add(count);
            }
        };
        session.ScoreTokens(SchedulerCases.Request(20, "none", 1).Tokens.Span, TestContext.Current.CancellationToken);
        Assert.Equal(20, Assert.Single(rows));
    }
}
