using FsCheck;
using FsCheck.Fluent;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

/// <summary>What must hold for any model, schedule, prompt, and split of it over turns.</summary>
public sealed class SessionLawsTests : IDisposable
{
    private const int VocabularySize = 48;
    private const int LayerCount = 5;

    private static readonly ModelConfig[] Shapes =
    [
        RandomModel.Shape(hiddenSize: 32, layerCount: LayerCount, headCount: 4, intermediateSize: 44, vocabularySize: VocabularySize, contextLength: 160),
        RandomModel.Shape(hiddenSize: 24, layerCount: LayerCount, headCount: 6, keyValueHeadCount: 2, headSize: 8, intermediateSize: 37, vocabularySize: VocabularySize, contextLength: 160, type: TensorType.BFloat16, tiedEmbeddings: true),
        RandomModel.Shape(hiddenSize: 40, layerCount: LayerCount, headCount: 2, keyValueHeadCount: 1, headSize: 10, intermediateSize: 33, vocabularySize: VocabularySize, contextLength: 160, type: TensorType.Float16),
    ];

    private readonly DirectoryInfo _scratch = Directory.CreateTempSubdirectory("lazyllm-laws-");
    private readonly LlamaEngine[] _engines;

    public SessionLawsTests()
    {
        for (int i = 0; i < Shapes.Length; i++)
        {
            RandomModel.Write(Folder(i), Shapes[i], seed: 40 + i);
        }

        _engines = [.. Enumerable.Range(0, Shapes.Length).Select(i => LlamaEngine.LoadAsync(Folder(i), new EngineOptions { Device = "cpu" }).GetAwaiter().GetResult())];
    }

    private static Gen<PruningSchedule> Schedules { get; } =
        from layers in Gen.SubListOf(Enumerable.Range(1, LayerCount - 1))
        from keeps in Gen.Choose(1, 20).ListOf(layers.Count)
        select PruningSchedule.Create(layers.Zip(keeps.OrderDescending(), (layer, keep) => new PruningPoint(layer, keep / 20.0)));

    private static Gen<SelectionRule> Rules { get; } =
        from layers in Gen.Choose(1, 3)
        from queries in Gen.Choose(1, 4)
        from pool in Gen.Elements(1, 3, 7)
        from first in Gen.Choose(0, 3)
        from recent in Gen.Choose(1, 5)
        from mass in Gen.Elements<double?>(null, null, 0.6, 0.95)
        from revive in Gen.Elements(true, true, false)
        select new SelectionRule { ScoreLayers = layers, ScoreQueries = queries, PoolWidth = pool, KeepFirst = first, KeepRecent = recent, AttentionMass = mass, Revive = revive };

    /// <summary>Turns of 1 to 24 tokens, single tokens among them.</summary>
    private static Gen<int[][]> Turns { get; } =
        from count in Gen.Choose(1, 5)
        from turns in Gen.OneOf(Gen.Choose(0, VocabularySize - 1).ArrayOf(1), Gen.Choose(0, VocabularySize - 1).NonEmptyListOf().Select(l => l.Take(24).ToArray())).ArrayOf(count)
        select turns.ToArray();

    private static Gen<Scenario> Scenarios { get; } =
        from model in Gen.Choose(0, Shapes.Length - 1)
        from schedule in Schedules
        from turns in Turns
        select new Scenario(model, schedule, turns);

    public void Dispose()
    {
        Array.ForEach(_engines, engine => engine.Dispose());
        _scratch.Delete(recursive: true);
    }

    [Fact]
    public void Sets_counts_and_logits_are_the_oracles() => Check(Scenarios, AgreesWithTheOracle);

    [Fact]
    public void So_they_are_under_every_selection_rule() => Check(
        from scenario in Scenarios
        from rule in Rules
        select scenario with { Schedule = scenario.Schedule.With(rule) },
        AgreesWithTheOracle);

    [Fact]
    public void Keeping_everything_is_the_dense_model_bit_for_bit() => Check(Scenarios, scenario =>
    {
        PruningSchedule everything = PruningSchedule.Create(scenario.Schedule.Points.Select(p => p with { Keep = 1 }));
        using Session dense = _engines[scenario.Model].CreateSession();
        using Session kept = _engines[scenario.Model].CreateSession(everything);
        Assert.All(scenario.Turns, turn => Assert.Equal(dense.Step(turn).ToArray(), kept.Step(turn).ToArray()));
        Assert.Equal(dense.Statistics.ComputedPairs, kept.Statistics.ComputedPairs);
    });

    [Fact]
    public void No_pair_is_computed_twice_and_sets_shrink_around_the_newest() => Check(Scenarios, scenario =>
    {
        using Session session = _engines[scenario.Model].CreateSession(scenario.Schedule);
        session.Tracing = true;
        var everKept = session.Plan.Stages.Select(_ => new HashSet<int>()).ToArray();
        foreach (int[] turn in scenario.Turns)
        {
            session.Step(turn);
            StepTrace trace = session.LastTrace!;
            int[] previous = [.. Enumerable.Range(0, session.Length)];
            foreach (StageTrace stage in trace.Stages)
            {
                Assert.Equal(session.Length - 1, stage.Kept[^1]);
                Assert.Equal(stage.Kept.Order().Distinct(), stage.Kept);
                Assert.Subset(previous.ToHashSet(), stage.Kept.ToHashSet());
                Assert.Equal(session.Plan.KeepCount(stage.Stage, session.Length, previous.Length), stage.Kept.Length);
                everKept[stage.Stage.Index].UnionWith(stage.Kept);
                previous = stage.Kept;
            }
        }

        RunStatistics statistics = session.Statistics;
        Assert.Equal(everKept.Select(kept => (long)kept.Count), statistics.Stages.Select(s => s.Computed));
        Assert.True(statistics.ComputedPairs <= statistics.DensePairs);
        Assert.True(statistics.KeyValueBytes <= statistics.DenseKeyValueBytes);
    });

    [Fact]
    public void The_dense_model_does_not_care_how_a_prompt_is_split() => Check(Scenarios, scenario =>
    {
        using Session whole = _engines[scenario.Model].CreateSession();
        using Session split = _engines[scenario.Model].CreateSession();
        float[] expected = whole.Step(scenario.Turns.SelectMany(t => t).ToArray()).ToArray();
        float[] found = [];
        Array.ForEach(scenario.Turns, turn => found = split.Step(turn).ToArray());
        AssertClose(expected.Select(v => (double)v), found);
    });

    [Fact]
    public void A_step_that_was_cancelled_leaves_no_trace() => Check(
        from scenario in Scenarios
        from layer in Gen.Choose(0, LayerCount - 2)
        select (scenario, layer),
        input =>
        {
            (Scenario scenario, int layer) = input;
            using Session calm = _engines[scenario.Model].CreateSession(scenario.Schedule);
            using Session disturbed = _engines[scenario.Model].CreateSession(scenario.Schedule);
            foreach (int[] turn in scenario.Turns)
            {
                // What a cancelled step revived stays computed, which later steps may notice; its new positions do not.
                bool isFirst = calm.Length == 0;
                if (isFirst || scenario.Schedule.Points.IsEmpty)
                {
                    using var cancellation = new CancellationTokenSource();
                    disturbed.PrefillProgress = new CancelAfter(layer, cancellation);
                    Assert.Throws<OperationCanceledException>(() => { disturbed.Step([.. turn, 1, 2, 3], cancellation.Token); });
                    disturbed.PrefillProgress = null;
                }

                Assert.Equal(calm.Length, disturbed.Length);
                Assert.Equal(calm.Step(turn).ToArray(), disturbed.Step(turn).ToArray());
            }
        });

    [Fact]
    public void A_fork_goes_on_as_its_origin_does() => Check(Scenarios, scenario =>
    {
        using Session origin = _engines[scenario.Model].CreateSession(scenario.Schedule);
        origin.Step(scenario.Turns[0]);
        using Session fork = origin.Fork();
        foreach (int[] turn in scenario.Turns)
        {
            float[] expected = origin.Step(turn).ToArray();
            Assert.Equal(expected, fork.Step(turn).ToArray());
        }
    });

    [Fact]
    public void A_reset_session_is_as_new() => Check(Scenarios, scenario =>
    {
        using Session session = _engines[scenario.Model].CreateSession(scenario.Schedule);
        float[][] first = [.. scenario.Turns.Select(turn => session.Step(turn).ToArray())];
        session.Reset();
        Assert.Equal(0, session.Length);
        Assert.Equal(first, scenario.Turns.Select(turn => session.Step(turn).ToArray()));
    });

    private static void Check<T>(Gen<T> inputs, Action<T> law) => Prop.ForAll(inputs.ToArbitrary(), law)
        .Check(Config.QuickThrowOnFailure.WithMaxTest(60).WithReplay(20240714UL, 1UL));

    private static void AssertClose(IEnumerable<double> expected, ReadOnlySpan<float> found)
    {
        double[] values = [.. expected];
        double scale = values.Max(Math.Abs);
        for (int i = 0; i < values.Length; i++)
        {
            Assert.True(Math.Abs(values[i] - found[i]) <= 1e-4 * scale, $"logit {i}: expected {values[i]}, found {found[i]}");
        }
    }

    private void AgreesWithTheOracle(Scenario scenario)
    {
        using ModelFolder folder = ModelFolder.Open(Folder(scenario.Model));
        using Session session = _engines[scenario.Model].CreateSession(scenario.Schedule);
        session.Tracing = true;
        var oracle = new OracleSession(folder, scenario.Schedule);
        foreach (int[] turn in scenario.Turns)
        {
            var kept = new List<int[]>();
            double[] expected = oracle.Step(turn, kept);
            ReadOnlySpan<float> found = session.Step(turn);
            if (!kept.Zip(session.LastTrace!.Stages, (set, stage) => set.AsSpan().SequenceEqual(stage.Kept)).All(same => same))
            {
                Assert.True(oracle.SmallestGap < 1e-4, $"other sets than the oracle's, whose smallest gap is {oracle.SmallestGap:E1}");
                return;
            }

            AssertClose(expected, found);
        }
    }

    private string Folder(int model) => Path.Combine(_scratch.FullName, $"model-{model}");

    internal sealed record Scenario(int Model, PruningSchedule Schedule, int[][] Turns)
    {
        public override string ToString() => $"model {Model}, schedule {Schedule}, turns [{string.Join(" | ", Turns.Select(t => string.Join(' ', t)))}]";
    }

    private sealed class CancelAfter(int layer, CancellationTokenSource cancellation) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value)
        {
            if (value.LayersDone > layer)
            {
                cancellation.Cancel();
            }
        }
    }
}
