using System.Diagnostics;
using System.Text.Json;
using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;

namespace LazyLlm.Bench;

/// <summary>
/// <c>bench cpu</c>: a whole random-weight model on the CPU backend, against OpenBLAS, a plain read of memory, and the
/// dense model. Whatever is compared runs in turns in one process; figures are medians over the rounds, ratios medians of each round's ratio.
/// </summary>
internal sealed unsafe class CpuBenchmark : IDisposable
{
    private const int DecodeSteps = 8;

    /// <summary>What pruning itself costs in a prefill.</summary>
    private static readonly string[] Overhead = ["choose", "gather", "score", "scatter"];

    private readonly Dictionary<string, List<double>> _samples = [];
    private readonly CpuOperations _operations;
    private readonly CpuTimedOperations _timed;
    private readonly ForwardPass _pass;
    private readonly ModelConfig _config;
    private readonly WorkerPool _pool;
    private readonly FloatBuffer _memory = new();
    private readonly CpuOpenBlas? _blas;
    private readonly int _length;

    private CpuBenchmark(ModelConfig config, CpuOperations operations, int threads, int length)
    {
        _config = config;
        _operations = operations;
        _length = length;
        _timed = new CpuTimedOperations(operations);
        _pass = new ForwardPass(_timed, config.HiddenSize);
        _pool = new WorkerPool(threads);
        _blas = CpuOpenBlas.Find(threads);
    }

    /// <summary>Runs the benchmark; see the usage in Program.cs.</summary>
    public static int Run(string[] arguments)
    {
        string Option(string name, string otherwise) => Array.IndexOf(arguments, name) is >= 0 and int i ? arguments[i + 1] : otherwise;
        int length = int.Parse(Option("--length", "2048"));
        int rounds = int.Parse(Option("--rounds", "5"));
        int threads = int.Parse(Option("--threads", Environment.ProcessorCount.ToString()));
        PruningSchedule schedule = PruningSchedule.Parse(Option("--prune", "6:0.5,11:0.25"));
        string json = Option("--json", "bench-cpu.json");
        string folder = Option("--model", "");
        DirectoryInfo? scratch = null;
        if (folder.Length == 0)
        {
            scratch = Directory.CreateTempSubdirectory("lazyllm-bench-");
            folder = scratch.FullName;
            Console.WriteLine("writing a random model ...");
            RandomModel.Write(folder, RandomModel.Shape(
                hiddenSize: 1024, layerCount: 16, headCount: 16, intermediateSize: 2816, vocabularySize: 32_000, contextLength: 8_192, type: TensorType.BFloat16));
        }

        try
        {
            using ModelFolder model = ModelFolder.Open(folder);
            var results = new Dictionary<string, double>();
            using CpuOperations operations = LoadMeasured(model, threads, results);
            using var benchmark = new CpuBenchmark(model.Config, operations, threads, length);
            benchmark.Prefill(schedule, rounds, results);
            benchmark.Decode(schedule, rounds, results);
            Console.WriteLine($"{operations.DeviceName}, {length} tokens, {schedule}, {rounds} rounds, OpenBLAS as {benchmark._blas?.CoreName ?? "none: libopenblas is not installed, its comparison is skipped"}");
            foreach ((string name, double value) in results)
            {
                Console.WriteLine($"{name,-52} {value,12:G5}");
            }

            File.WriteAllText(json, JsonSerializer.Serialize(results, JsonSerializerOptions.Default));
            return 0;
        }
        finally
        {
            scratch?.Delete(recursive: true);
        }
    }

    public void Dispose()
    {
        _pass.Dispose();
        _pool.Dispose();
        _memory.Dispose();
    }

    private static CpuOperations LoadMeasured(ModelFolder model, int threads, Dictionary<string, double> results)
    {
        using var process = Process.GetCurrentProcess();
        long before = process.WorkingSet64;
        long start = Stopwatch.GetTimestamp();
        var operations = CpuOperations.Load(model.Weights, model.Config.ContextLength, null, CancellationToken.None, threads);
        results["load: seconds"] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        process.Refresh();
        results["load: weights, MB"] = model.Weights.TotalBytes / 1e6;
        results["load: peak memory above start, MB"] = (process.PeakWorkingSet64 - before) / 1e6;
        results["load: peak / weights"] = (process.PeakWorkingSet64 - before) / (double)model.Weights.TotalBytes;
        return operations;
    }

    private void Prefill(PruningSchedule schedule, int rounds, Dictionary<string, double> results)
    {
        StagePlan dense = PruningSchedule.None.PlanFor(_config.LayerCount);
        StagePlan pruned = schedule.PlanFor(_config.LayerCount);
        PrefillOnce("dense", dense, keep: false);
        for (int round = 0; round < rounds; round++)
        {
            PrefillOnce("dense", dense, keep: true);
            PrefillOnce("pruned", pruned, keep: true);
            Products();
            Note("speed-up", Latest("dense prefill") / Latest("pruned prefill"));
            if (_blas is not null)
            {
                Note("dense / blas", OperationCount.Prefill(_config, dense, _length) / Latest("dense prefill") / 1e9 / Latest("blas"));
            }
        }

        double denseSeconds = Median("dense prefill");
        double rate = OperationCount.Prefill(_config, dense, _length) / denseSeconds / 1e9;
        results["prefill: dense TTFT, s"] = denseSeconds;
        results["prefill: dense GFLOP/s"] = rate;
        if (_blas is not null)
        {
            results["prefill: OpenBLAS sgemm GFLOP/s"] = Median("blas");
            results["prefill: dense / sgemm"] = Median("dense / blas");
        }

        double predicted = OperationCount.Prefill(_config, dense, _length) / OperationCount.Prefill(_config, pruned, _length);
        double measured = Median("speed-up");
        results["prefill: pruned TTFT, s"] = Median("pruned prefill");
        results["prefill: speed-up by counting operations"] = predicted;
        results["prefill: speed-up measured"] = measured;
        results["prefill: measured / counted"] = measured / predicted;
        results["prefill: share of choose, gather, score, scatter"] = Median("pruned overhead");
        foreach (string name in _samples.Keys.Where(k => k.StartsWith("dense op ", StringComparison.Ordinal)))
        {
            results[$"prefill: dense share of {name["dense op ".Length..]}"] = Median(name) / denseSeconds;
        }
    }

    private void PrefillOnce(string name, StagePlan plan, bool keep)
    {
        using Sequence sequence = NewSequence(plan);
        _timed.Restart();
        double seconds = Step(sequence, Prompt(_length));
        if (!keep)
        {
            return;
        }

        Note($"{name} prefill", seconds);
        foreach ((string operation, double part) in _timed.Seconds)
        {
            Note($"{name} op {operation}", part);
        }

        Note($"{name} overhead", Overhead.Sum(o => _timed.Seconds.GetValueOrDefault(o)) / seconds);
    }

    /// <summary>The products of a layer through sgemm, in float32.</summary>
    private void Products()
    {
        if (_blas is null)
        {
            return;
        }

        int widest = Math.Max(_config.QueryWidth + (2 * _config.KeyValueWidth), 2 * _config.IntermediateSize);
        int deepest = Math.Max(_config.HiddenSize, _config.IntermediateSize);
        long inputs = (long)_length * deepest;
        float* input = Memory(inputs + ((long)widest * deepest) + ((long)_length * widest));
        float* weight = input + inputs;
        float* output = weight + ((long)widest * deepest);
        double operations = 0;
        double seconds = 0;
        for (int i = 0; i < 4; i++)
        {
            long start = Stopwatch.GetTimestamp();
            _blas.Multiply(_length, _config.QueryWidth + (2 * _config.KeyValueWidth), _config.HiddenSize, input, weight, output);
            _blas.Multiply(_length, _config.HiddenSize, _config.QueryWidth, input, weight, output);
            _blas.Multiply(_length, 2 * _config.IntermediateSize, _config.HiddenSize, input, weight, output);
            _blas.Multiply(_length, _config.HiddenSize, _config.IntermediateSize, input, weight, output);

            // The first time warms its threads up.
            seconds += i == 0 ? 0 : Stopwatch.GetElapsedTime(start).TotalSeconds;
            operations += i == 0 ? 0 : 2.0 * _length * OperationCount.LayerWeights(_config);
        }

        Note("blas", operations / seconds / 1e9);

        // Its threads go on spinning for a while.
        Thread.Sleep(300);
    }

    private void Decode(PruningSchedule schedule, int rounds, Dictionary<string, double> results)
    {
        StagePlan densePlan = PruningSchedule.None.PlanFor(_config.LayerCount);
        StagePlan prunedPlan = schedule.PlanFor(_config.LayerCount);
        using Sequence dense = NewSequence(densePlan);
        using Sequence pruned = NewSequence(prunedPlan);
        Step(dense, Prompt(_length));
        Step(pruned, Prompt(_length));
        double bytes = OperationCount.DecodeBytes(_config, densePlan, _length, sizeof(ushort), sizeof(float));
        long floats = (long)(bytes / sizeof(float));
        Memory(floats);
        var extra = new List<double>();
        for (int round = 0; round < rounds + 1; round++)
        {
            for (int i = 0; i < DecodeSteps; i++)
            {
                Note("decode dense", Step(dense, Prompt(1)));
                long[] before = pruned.Revived.ToArray();
                Note("decode pruned", Step(pruned, Prompt(1)));
                double rows = 0;
                foreach (Stage stage in prunedPlan.Stages)
                {
                    rows += (pruned.Revived[stage.Index] - before[stage.Index]) * stage.LayerCount / (double)_config.LayerCount;
                }

                extra.Add(rows);
                long start = Stopwatch.GetTimestamp();
                CpuPlainRead.Run(_pool, _memory.Pointer, floats);
                Note("read", Stopwatch.GetElapsedTime(start).TotalSeconds);
                Note("decode share", Latest("read") / Latest("decode dense"));
                Note("decode ratio", Latest("decode pruned") / Latest("decode dense"));
            }

            Note("decode 8 rows", Step(dense, Prompt(8)));
            if (round == 0)
            {
                // Warm-up: caches grow, code is compiled.
                _samples.Keys.Where(k => k.StartsWith("decode", StringComparison.Ordinal) || k == "read").ToList().ForEach(k => _samples[k].Clear());
                extra.Clear();
            }
        }

        double denseSeconds = Median("decode dense");
        double perRow = Math.Max(0, Median("decode 8 rows") - denseSeconds) / 7;
        double revived = extra.Average();
        results["decode: dense step, ms"] = denseSeconds * 1e3;
        results["decode: bytes of a dense step, MB"] = bytes / 1e6;
        results["decode: GB/s"] = bytes / denseSeconds / 1e9;
        results["decode: plain read GB/s"] = bytes / Median("read") / 1e9;
        results["decode: share of the plain read"] = Median("decode share");
        results["decode: pruned step, ms"] = Median("decode pruned") * 1e3;
        results["decode: revived rows per step (whole model)"] = revived;
        results["decode: cost of one more row, ms"] = perRow * 1e3;
        results["decode: pruned / dense"] = Median("decode ratio");
        results["decode: pruned / (dense + revived rows)"] = Median("decode ratio") * denseSeconds / (denseSeconds + (revived * perRow));
    }

    private Sequence NewSequence(StagePlan plan)
    {
        int capacity = _config.ContextLength;
        return new Sequence(_operations.CreateSequence(plan, capacity), plan, capacity);
    }

    private double Step(Sequence sequence, int[] tokens)
    {
        long start = Stopwatch.GetTimestamp();
        _pass.Begin();
        _pass.Add(sequence, tokens);
        while (_pass.Advance())
        {
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private int[] Prompt(int length)
    {
        var random = new Random(length);
        int[] tokens = new int[length];
        for (int i = 0; i < length; i++)
        {
            tokens[i] = random.Next(_config.VocabularySize);
        }

        return tokens;
    }

    /// <summary>Memory of random numbers: zeros can be faster than real data.</summary>
    private float* Memory(long count)
    {
        if (count > _memory.Capacity)
        {
            float* data = _memory.Reserve(count);
            var random = new Random(1);
            for (long i = 0; i < count; i++)
            {
                data[i] = random.NextSingle() - 0.5f;
            }
        }

        return _memory.Pointer;
    }

    private void Note(string name, double value)
    {
        if (!_samples.TryGetValue(name, out List<double>? samples))
        {
            _samples[name] = samples = [];
        }

        samples.Add(value);
    }

    private double Latest(string name) => _samples[name][^1];

    private double Median(string name)
    {
        double[] sorted = [.. _samples[name].Order()];
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }
}
