using System.Text.Json;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

/// <summary>One case of the float64 oracle: a prompt, stages, and what every step kept, computed and gave.</summary>
internal sealed class GoldenCase
{
    private readonly JsonElement _root;

    private GoldenCase(JsonElement root)
    {
        _root = root;
    }

    /// <summary>Names of the cases, those of other people's models included.</summary>
    public static TheoryData<string> Names { get; } = new(
    [
        "tiny-mha-0", "tiny-mha-1", "tiny-mha-2", "tiny-mha-3", "tiny-mha-4",
        "tiny-gqa-bf16-0", "tiny-gqa-bf16-1", "tiny-gqa-bf16-2",
        "demo-0", "demo-1", "demo-2",
        "stories260K-0", "stories260K-1", "stories260K-2",
    ]);

    public string Model => _root.GetProperty("model").GetString()!;

    public int[] Prompt => Numbers(_root.GetProperty("prompt"));

    public PruningSchedule Schedule => PruningSchedule.Create(
        _root.GetProperty("stages").EnumerateArray().Select(s => new PruningPoint(s[0].GetInt32(), s[1].GetDouble())));

    /// <summary>The folder of the case's model; skips the test aloud where it is absent.</summary>
    public string ModelFolder => Model switch
    {
        "demo" => RepositoryFiles.Demo,
        "stories260K" => RepositoryFiles.Shared("golden", "models", Model),
        _ => RepositoryFiles.Golden("models", Model),
    };

    public static GoldenCase Load(string name)
    {
        string path = name.StartsWith("stories260K", StringComparison.Ordinal)
            ? RepositoryFiles.Shared("golden", "cases", name + ".json")
            : RepositoryFiles.Golden("cases", name + ".json");
        return new GoldenCase(JsonDocument.Parse(File.ReadAllBytes(path)).RootElement);
    }

    /// <summary>
    /// Runs the case and compares. Sets may differ from the oracle's only where its scores at the border lie closer
    /// together than <paramref name="gapTolerance"/>; from then on the runs are about different rows, and the check ends.
    /// </summary>
    /// <param name="engine">The model on the device under test.</param>
    /// <param name="logitTolerance">Largest difference of a logit, relative to the largest logit.</param>
    /// <param name="gapTolerance">See above.</param>
    public void Check(LlamaEngine engine, double logitTolerance, double gapTolerance)
    {
        using Session session = engine.CreateSession(Schedule);
        session.Tracing = true;
        int[] frontier = new int[Prompt.Length + _root.GetProperty("steps").GetArrayLength()];
        int[] tokens = Prompt;
        int stepIndex = 0;
        foreach (JsonElement step in _root.GetProperty("steps").EnumerateArray())
        {
            ReadOnlySpan<float> logits = session.Step(tokens);
            StepTrace trace = session.LastTrace!;
            string where = $"{Model} step {stepIndex}";
            foreach (StageTrace stage in trace.Stages)
            {
                Array.ForEach(stage.Kept, position => frontier[position] = Math.Max(frontier[position], stage.Stage.EndLayer));
                if (stage.Stage.Index == 0)
                {
                    continue;
                }

                string key = stage.Stage.FirstLayer.ToString(System.Globalization.CultureInfo.InvariantCulture);
                int[] kept = Numbers(step.GetProperty("kept").GetProperty(key));
                if (!kept.AsSpan().SequenceEqual(stage.Kept))
                {
                    double gap = step.GetProperty("gap").GetProperty(key).GetDouble();
                    Assert.True(gap < gapTolerance, $"{where}: stage {key} kept other positions than the oracle, whose gap there is {gap:E1}.");
                    return;
                }
            }

            int[] computed = Numbers(step.GetProperty("computed"));
            Assert.Equal(computed, trace.Stages.SelectMany(s => Enumerable.Repeat(s.Computed, s.Stage.LayerCount)));
            float[] expected = [.. step.GetProperty("logits").EnumerateArray().Select(l => l.GetSingle())];
            float scale = expected.Max(MathF.Abs);
            for (int i = 0; i < expected.Length; i++)
            {
                Assert.True(Math.Abs(logits[i] - expected[i]) <= logitTolerance * scale, $"{where}: logit {i} is {logits[i]}, the oracle's {expected[i]}.");
            }

            int token = step.GetProperty("token").GetInt32();
            Assert.True(logits[token] >= logits.ToArray().Max() - (logitTolerance * scale), $"{where}: the oracle's token {token} is not the best one.");
            tokens = [token];
            stepIndex++;
        }

        Assert.Equal(Numbers(_root.GetProperty("frontier")), frontier[..session.Length]);
    }

    private static int[] Numbers(JsonElement array) => [.. array.EnumerateArray().Select(n => n.GetInt32())];
}
