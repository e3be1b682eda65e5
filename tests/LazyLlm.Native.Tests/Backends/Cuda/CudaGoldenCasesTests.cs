using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tests.Inference;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>The golden cases through the whole CUDA path: backend, launchers, kernels, layer loop.</summary>
public class CudaGoldenCasesTests
{
    public static TheoryData<string> Names => GoldenCase.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public Task In_float32_they_are_the_cpus(string name) => Check(name, Precision.Float32, logitTolerance: 1e-4, gapTolerance: 1e-4);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task In_bfloat16_they_are_the_oracles_to_within_its_rounding(string name)
    {
        // A float32 checkpoint is another model once its weights are rounded: that one is what the oracle has to run.
        GoldenCase golden = GoldenCase.Load(name);
        if (name.StartsWith("tiny-mha", StringComparison.Ordinal))
        {
            await CheckRounded(golden);
            return;
        }

        await Check(name, Precision.BFloat16, logitTolerance: 4e-2, gapTolerance: 2e-2);
    }

    [Theory]
    [InlineData(Precision.Float32)]
    [InlineData(Precision.BFloat16)]
    public async Task Keeping_everything_is_the_dense_model_bit_for_bit(Precision precision)
    {
        GoldenCase golden = GoldenCase.Load("tiny-mha-4");
        using LlamaEngine engine = await Load(golden, precision);
        using Session dense = engine.CreateSession();
        using Session kept = engine.CreateSession(PruningSchedule.Parse("1:1,4:1"));
        Assert.Equal(dense.Step(golden.Prompt).ToArray(), kept.Step(golden.Prompt).ToArray());
        for (int i = 0; i < 5; i++)
        {
            Assert.Equal(dense.Step([i]).ToArray(), kept.Step([i]).ToArray());
        }

        Assert.Equal(dense.Step([7, 8, 9]).ToArray(), kept.Step([7, 8, 9]).ToArray());
    }

    [Theory]
    [InlineData("none")]
    [InlineData("2:0.5")]
    public async Task A_story_reads_as_on_the_cpu(string schedule)
    {
        CudaTestDevice.Require();
        string[] texts = [.. await Task.WhenAll(Story("cpu", schedule), Story("cuda", schedule))];
        Assert.Equal(texts[0], texts[1]);
        if (schedule == "none")
        {
            Assert.StartsWith("Once upon a time, there was a little girl named Lily. She loved to play outside", texts[1].TrimStart(), StringComparison.Ordinal);
        }
    }

    private static async Task<string> Story(string device, string schedule)
    {
        var options = new EngineOptions { Device = device, Precision = Precision.Float32 };
        using LlamaEngine engine = await LlamaEngine.LoadAsync(RepositoryFiles.Shared("golden", "models", "stories260K"), options);
        using Session session = engine.CreateSession(PruningSchedule.Parse(schedule));
        var text = new System.Text.StringBuilder();
        await foreach (GeneratedToken token in session.GenerateAsync("", new SamplingOptions { MaxTokens = 60 }))
        {
            text.Append(token.Text);
        }

        return text.ToString();
    }

    private static async Task CheckRounded(GoldenCase golden)
    {
        CudaTestDevice.Require();
        using var scratch = new ScratchFolder();
        using ModelFolder source = ModelFolder.Open(golden.ModelFolder);
        var writer = new SafetensorsWriter();
        foreach (TensorInfo tensor in source.Tensors)
        {
            using SafetensorsFile file = SafetensorsFile.Open(tensor.File);
            SafetensorsTensor there = file.Tensors.Single(t => t.Name == tensor.Name);
            byte[] numbers = new byte[there.Length];
            file.Read(there, 0, numbers);
            byte[] rounded = new byte[numbers.Length / 2];
            TensorConversion.Convert(numbers, TensorType.Float32, rounded, TensorType.BFloat16);
            writer.Add(tensor.Name, TensorType.BFloat16, [.. tensor.Shape.Select(d => (int)d)], data => data.Write(rounded));
        }

        writer.Save(Path.Combine(scratch.Path, "model.safetensors"));
        File.Copy(Path.Combine(golden.ModelFolder, "config.json"), Path.Combine(scratch.Path, "config.json"));
        using ModelFolder folder = ModelFolder.Open(scratch.Path);
        using LlamaEngine engine = await LlamaEngine.LoadAsync(scratch.Path, new EngineOptions { Device = "cuda", Precision = Precision.BFloat16 });
        using Session session = engine.CreateSession(golden.Schedule);
        session.Tracing = true;
        var oracle = new OracleSession(folder, golden.Schedule);
        int[] tokens = golden.Prompt;
        for (int step = 0; step < 8; step++)
        {
            var kept = new List<int[]>();
            double[] expected = oracle.Step(tokens, kept);
            float[] found = session.Step(tokens).ToArray();
            if (!kept.Zip(session.LastTrace!.Stages, (set, stage) => set.AsSpan().SequenceEqual(stage.Kept)).All(same => same))
            {
                Assert.True(oracle.SmallestGap < 2e-2, $"step {step}: other sets than the oracle's, whose smallest gap so far is {oracle.SmallestGap:E1}");
                return;
            }

            KernelBench.AssertClose(expected, found, 0, 4e-2 * expected.Max(Math.Abs));
            tokens = [Array.IndexOf(expected, expected.Max())];
        }
    }

    private static async Task Check(string name, Precision precision, double logitTolerance, double gapTolerance)
    {
        GoldenCase golden = GoldenCase.Load(name);
        using LlamaEngine engine = await Load(golden, precision);
        golden.Check(engine, logitTolerance, gapTolerance);
    }

    private static Task<LlamaEngine> Load(GoldenCase golden, Precision precision)
    {
        CudaTestDevice.Require();
        return LlamaEngine.LoadAsync(golden.ModelFolder, new EngineOptions { Device = "cuda", Precision = precision });
    }
}
