using System.Diagnostics;
using System.Globalization;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Bench;

/// <summary>
/// A whole model on a GPU, with random weights in the shape of Llama 2 7B: compile time, load, time to first token,
/// decode, under several schedules; and, against the same weights in float32, how far the logits are off.
/// </summary>
internal static class CudaModelBenchmark
{
    /// <summary>Options: --length N, --decode N, --layers N, --rounds N, --check (also run float32), --schedules A B ....</summary>
    public static int Run(string[] args)
    {
        int length = Number("--length", 4096);
        int decoded = Number("--decode", 64);
        int rounds = Number("--rounds", 3);
        bool isChecked = args.Contains("--check");
        int at = Array.IndexOf(args, "--schedules");
        string[] schedules = at >= 0 ? args[(at + 1)..] : ["none", "paper", "fast"];
        ModelConfig config = ModelShapes.Llama2 with { LayerCount = Number("--layers", 32), ContextLength = length + decoded };
        using var weights = new RandomWeights(config);
        CudaCompileBenchmark.Measure(config);
        var logits = new Dictionary<string, float[][]>();
        Measure(weights, TensorType.BFloat16, schedules, length, decoded, rounds, logits);
        if (isChecked)
        {
            var exact = new Dictionary<string, float[][]>();
            Measure(weights, TensorType.Float32, schedules, length, decoded, 1, exact);
            foreach (string schedule in schedules)
            {
                for (int i = 0; i < logits[schedule].Length; i++)
                {
                    float largest = exact[schedule][i].Max(MathF.Abs);
                    float difference = exact[schedule][i].Zip(logits[schedule][i], (a, b) => MathF.Abs(a - b)).Max();
                    Console.WriteLine($"{schedule}, step {i}: bfloat16 logits are within {difference / largest:P2} of float32's, relative to the largest");
                }
            }
        }

        return 0;

        int Number(string name, int standard)
        {
            int index = Array.IndexOf(args, name);
            return index < 0 ? standard : int.Parse(args[index + 1], CultureInfo.InvariantCulture);
        }
    }

    private static void Measure(RandomWeights weights, TensorType storage, string[] schedules, int length, int decoded, int rounds, Dictionary<string, float[][]> logits)
    {
        long start = Stopwatch.GetTimestamp();
        ModelConfig config = weights.Config;
        using CudaOperations operations = CudaOperations.Load(weights, new CudaOptions { ContextLength = config.ContextLength, Storage = storage }, null, default);
        Console.WriteLine($"{operations.DeviceName}, {storage}: {operations.WeightBytes / 1e9:F2} GB of weights loaded in {Stopwatch.GetElapsedTime(start).TotalSeconds:F2} s");
        Console.WriteLine($"{"schedule",-28}{"TTFT ms",10}{"decode ms",11}{"tokens/s",10}{"K/V MB",9}");
        int[] prompt = [.. Enumerable.Range(0, length).Select(i => (int)(i * 2654435761L % (config.VocabularySize - 3)) + 3)];
        using var pass = new ForwardPass(operations, config.HiddenSize);
        foreach (string text in schedules)
        {
            PruningSchedule schedule = PruningSchedule.Parse(text);
            StagePlan plan = schedule.PlanFor(config.LayerCount);
            var firsts = new List<double>();
            var steps = new List<double>();
            long keyValueBytes = 0;
            for (int round = -1; round < rounds; round++)
            {
                using var sequence = new Sequence(operations.CreateSequence(plan, config.ContextLength), plan, config.ContextLength);
                (double first, float[] atPrompt) = Step(pass, sequence, prompt);
                float[] last = atPrompt;
                var times = new List<double>();
                for (int i = 0; i < decoded; i++)
                {
                    (double seconds, last) = Step(pass, sequence, [prompt[i % length]]);
                    times.Add(seconds);
                }

                if (round >= 0 || rounds == 1)
                {
                    firsts.Add(first);
                    // The first steps record their stages.
                    steps.AddRange(times[Math.Min(8, decoded / 2)..]);
                    logits[text] = [atPrompt, last];
                    keyValueBytes = sequence.Memory.KeyValueBytes;
                }
            }

            double decode = Median(steps);
            Console.WriteLine($"{text,-28}{Median(firsts) * 1e3,10:F2}{decode * 1e3,11:F3}{1 / decode,10:F1}{keyValueBytes / 1e6,9:F0}");
        }
    }

    private static (double Seconds, float[] Logits) Step(ForwardPass pass, Sequence sequence, int[] tokens)
    {
        long start = Stopwatch.GetTimestamp();
        pass.Begin();
        pass.Add(sequence, tokens);
        while (pass.Advance())
        {
        }

        ReadOnlySpan<float> logits = pass.Logits();
        return (Stopwatch.GetElapsedTime(start).TotalSeconds, logits.ToArray());
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }
}
