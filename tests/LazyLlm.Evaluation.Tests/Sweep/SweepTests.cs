using System.Text;
using LazyLlm.Evaluation.Figures;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Reports;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Sweep;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Tests.Sweep;

public sealed class SweepTests(DemoModel model)
{
    [Theory]
    [InlineData(12)]
    [InlineData(32)]
    [InlineData(2)]
    public void A_plan_fits_the_model_and_names_each_method_once(int layerCount)
    {
        var plan = SweepPlan.Create(layerCount, SelectionRule.Default with { KeepRecent = 8 }, MethodSet.Families);
        Assert.Equal("dense", plan.Methods[0].Name);
        Assert.Equal(plan.Methods.Count, plan.Methods.DistinctBy(method => method.Name).Count());
        Assert.All(plan.Methods, method => Assert.InRange(method.PrefillShare(layerCount), 0.001, 1));
        Assert.All(plan.OnceAtLayer, point => Assert.Contains(plan.Methods, method => method.Name == point.Method));
        Assert.Equal((1, layerCount - 1), (plan.OnceAtLayer.Min(point => point.Layer), plan.OnceAtLayer.Max(point => point.Layer)));
        PruningSchedule.Parse(plan.GrowthSchedule).PlanFor(layerCount);
    }

    [Fact]
    public void The_cheapest_schedule_within_the_loss_is_chosen_on_one_half_and_reported_on_the_other()
    {
        List<EvaluationResult> results = [];
        for (int index = 0; index < 4; index++)
        {
            bool calibration = index % 2 == 0;
            results.Add(Result("dense", index, 1, 1));
            results.Add(Result("lazyllm 4:0.5", index, calibration ? 1 : 0.5, 0.6));
            results.Add(Result("lazyllm 4:0.1", index, calibration ? 0.9 : 1, 0.3));
            results.Add(Result("random 0.1", index, 1, 0.1));
        }

        var strict = Recommendation.Choose(results, 1);
        Assert.Equal(("4:0.5", 100.0, 50.0, 100.0, 2), (strict.Schedule, strict.Calibration.Score, strict.Report.Score, strict.DenseReport.Score, strict.Candidates));
        Assert.Equal("4:0.1", Recommendation.Choose(results, 10).Schedule);
        Assert.Equal("none", Recommendation.Choose([.. results.Where(result => result.Method != "lazyllm 4:0.5")], 1).Schedule);
    }

    [Fact]
    public void A_schedule_that_loses_the_follow_ups_is_not_chosen()
    {
        List<EvaluationResult> results = [];
        for (int index = 0; index < 2; index++)
        {
            results.Add(Result("dense", index, 1, 1) with { FollowUps = [new FollowUpResult("", 1, 1, 1)] });
            results.Add(Result("lazyllm 4:0.1", index, 1, 0.3) with { FollowUps = [new FollowUpResult("", 0, 1, 1)] });
        }

        Assert.Equal("none", Recommendation.Choose(results, 1).Schedule);
    }

    [Fact]
    public void The_cache_grows_from_the_prefills_share_and_never_beyond_the_prompt()
    {
        EvaluationItem[] prompts = [.. model.Documents(2, 200).ReadItems(model.Tokenizer)];
        CacheGrowth growth = CacheGrowth.Measure(model.Items, prompts, PruningSchedule.Parse("4:0.5,8:0.1"), 12, null, TestContext.Current.CancellationToken);
        Assert.Equal([0, 4, 8], growth.Stages.Select(stage => stage.FirstLayer));
        Assert.All(growth.Shares[0], share => Assert.Equal(1, share, 12));
        Assert.Equal(0.5, growth.Shares[1][0], 0.01);
        Assert.Equal(0.1, growth.Shares[2][0], 0.01);
        Assert.All(growth.Shares, shares =>
        {
            Assert.Equal(13, shares.Length);
            Assert.Equal(shares.Order(), shares);
            Assert.InRange(shares[^1], 0, 1);
        });
        Assert.True(growth.Shares[2][^1] > growth.Shares[2][0], "later steps pick up positions that earlier ones left out");
    }

    [Fact]
    public void A_sweep_ends_in_figures_and_one_page_that_stands_alone()
    {
        var options = new SweepOptions { Layers = 2, Families = ["dense", "lazyllm", "static"], GrowthSteps = 3, GrowthPrompts = 1, Rule = SelectionRule.Default with { KeepRecent = 8 } };
        var sweep = new SweepRunner(model.Items, [model.Documents(2, 100)], options);
        SweepResult result = sweep.Run(null, null, TestContext.Current.CancellationToken);
        IReadOnlyList<LineFigure> figures = result.DrawFigures();
        using var folder = new TemporaryFolder();
        foreach (LineFigure figure in figures)
        {
            figure.Save(folder.Path);
            Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], File.ReadAllBytes(Path.Combine(folder.Path, $"{figure.Name}.png"))[..4]);
            Assert.Contains("<svg viewBox=\"0 0 ", File.ReadAllText(Path.Combine(folder.Path, $"{figure.Name}.svg")), StringComparison.Ordinal);
        }

        using var page = new StringWriter();
        SweepReport.Write(page, result, figures, RunFacts.Collect("lazyllm eval sweep --task <mine>", model.Engine, "0123abcd"));
        string html = page.ToString();
        Assert.Equal(4, html.Split("<svg").Length);
        Assert.Contains("lazyllm eval sweep --task &lt;mine&gt;", html, StringComparison.Ordinal);
        Assert.Contains("0123abcd", html, StringComparison.Ordinal);
        Assert.Contains(result.Recommendation.Schedule, html, StringComparison.Ordinal);
        Assert.All(result.Rows, row => Assert.Contains(row.Method, html, StringComparison.Ordinal));

        // Nothing is fetched: no address but the names of XML's own vocabularies.
        Assert.DoesNotMatch("(src|href)=\"http", html.Replace("xmlns:xlink", "", StringComparison.Ordinal));
        Assert.True(Encoding.UTF8.GetByteCount(html) < 2 << 20);
    }

    [Fact]
    public void One_item_cannot_be_split()
        => Assert.Throws<InvalidOptionException>(() => new SweepRunner(model.Items, [model.Documents(1)], new SweepOptions()).Run(null, null, TestContext.Current.CancellationToken));

    private static EvaluationResult Result(string method, int index, double score, double share) => new()
    {
        Group = "g",
        Dataset = "d",
        Index = index,
        Method = method,
        Run = 0,
        Prediction = "",
        Score = score,
        PromptTokens = 10,
        GeneratedTokens = 1,
        PromptShare = share,
        PrefillShare = share,
        FirstTokenMilliseconds = 1,
        TotalMilliseconds = 1,
    };
}
