using LazyLlm.Native.Backends.Cpu;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

public unsafe class AttentionTests
{
    private static readonly Case[] Cases =
    [
        new(Rows: 1, Tokens: 1, Heads: 2, KeyValueHeads: 2, HeadSize: 8, Seed: 1),
        new(Rows: 1, Tokens: 700, Heads: 4, KeyValueHeads: 2, HeadSize: 16, Seed: 2),
        new(Rows: 8, Tokens: 300, Heads: 3, KeyValueHeads: 3, HeadSize: 20, Seed: 3),
        new(Rows: 9, Tokens: 9, Heads: 4, KeyValueHeads: 1, HeadSize: 64, Seed: 4),
        new(Rows: 33, Tokens: 600, Heads: 6, KeyValueHeads: 2, HeadSize: 24, Seed: 5),
        new(Rows: 290, Tokens: 290, Heads: 2, KeyValueHeads: 2, HeadSize: 48, Seed: 6),
    ];

    public static TheoryData<string> InstructionSets => CpuKernelCases.InstructionSets;

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Rows_attend_through_a_slot_list_as_in_double_arithmetic(string set)
    {
        using var pool = new WorkerPool(2);
        foreach (Case @case in Cases)
        {
            CpuKernelCases.AssertClose(@case.Expected(), @case.Attend(CpuKernelCases.Kernels(set), pool), 3e-6);
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void The_number_of_threads_changes_no_bit(string set)
    {
        using var one = new WorkerPool(1);
        using var four = new WorkerPool(4);
        foreach (Case @case in Cases)
        {
            Assert.Equal(@case.Attend(CpuKernelCases.Kernels(set), one), @case.Attend(CpuKernelCases.Kernels(set), four));
            Assert.Equal(@case.Score(CpuKernelCases.Kernels(set), one, 1, null), @case.Score(CpuKernelCases.Kernels(set), four, 1, null));
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Importance_is_the_mean_probability_of_the_last_rows(string set)
    {
        using var pool = new WorkerPool(2);
        CpuKernels kernels = CpuKernelCases.Kernels(set);
        foreach (Case @case in Cases)
        {
            for (int rows = 1; rows <= Math.Min(3, @case.Rows); rows++)
            {
                double[] expected = @case.ExpectedImportance(rows);
                float[] actual = @case.Score(kernels, pool, rows, null);
                CpuKernelCases.AssertClose(expected, actual, 3e-6);
                Assert.Equal(1, actual.Sum(x => (double)x), 1e-5);

                float[] before = [.. actual.Select((x, i) => i % 2 == 0 ? x / 2 : x * 2)];
                float[] accumulated = @case.Score(kernels, pool, rows, before);
                Assert.Equal([.. actual.Zip(before, MathF.Max)], accumulated);
            }
        }
    }

    /// <summary>Random queries, keys and values; T in shuffled slots of a larger cache whose other rows are NaN.</summary>
    private sealed class Case
    {
        private readonly float[] _queries;
        private readonly float[] _keys;
        private readonly float[] _values;
        private readonly int[] _slots;
        private readonly int[] _limits;
        private readonly int _heads;
        private readonly int _keyValueHeads;
        private readonly int _headSize;
        private readonly int _tokens;

        public Case(int Rows, int Tokens, int Heads, int KeyValueHeads, int HeadSize, int Seed)
        {
            this.Rows = Rows;
            _tokens = Tokens;
            _heads = Heads;
            _keyValueHeads = KeyValueHeads;
            _headSize = HeadSize;
            var random = new Random(Seed);
            _slots = [.. Enumerable.Range(0, Tokens + 10)];
            random.Shuffle(_slots);
            _slots = _slots[..Tokens];
            int[] seen = [.. Enumerable.Range(1, Tokens - 1)];
            random.Shuffle(seen);
            _limits = [.. seen.Take(Rows - 1).Append(Tokens).Order()];

            // Scores far apart: a softmax that is nearly flat would hide mistakes.
            _queries = [.. Enumerable.Range(0, Rows * Heads * HeadSize).Select(_ => (random.NextSingle() * 6) - 3)];
            _keys = new float[(Tokens + 10) * KeyValueHeads * HeadSize];
            _values = new float[_keys.Length];
            Array.Fill(_keys, float.NaN);
            Array.Fill(_values, float.NaN);
            int width = KeyValueHeads * HeadSize;
            foreach (int slot in _slots)
            {
                for (int i = 0; i < width; i++)
                {
                    _keys[(slot * width) + i] = (random.NextSingle() * 2) - 1;
                    _values[(slot * width) + i] = (random.NextSingle() * 2) - 1;
                }
            }
        }

        public int Rows { get; }

        public float[] Attend(CpuKernels kernels, WorkerPool pool)
        {
            float[] output = new float[_queries.Length];
            Array.Fill(output, float.NaN);
            fixed (float* q = _queries, k = _keys, v = _values, o = output)
            fixed (int* slots = _slots, limits = _limits)
            {
                kernels.Attend(pool, Arguments(q, k, v, o, slots, limits, Rows));
            }

            return output;
        }

        public float[] Score(CpuKernels kernels, WorkerPool pool, int rows, float[]? before)
        {
            float[] importance = before is null ? new float[_tokens] : [.. before];
            fixed (float* q = _queries, k = _keys, v = _values, scores = importance)
            fixed (int* slots = _slots, limits = _limits)
            {
                int skipped = Rows - rows;
                kernels.Score(pool, Arguments(q + (skipped * _heads * _headSize), k, v, null, slots, limits + skipped, rows), scores, before is not null);
            }

            return importance;
        }

        public double[] Expected()
        {
            double[] result = new double[_queries.Length];
            for (int row = 0; row < Rows; row++)
            {
                for (int head = 0; head < _heads; head++)
                {
                    double[] probabilities = Probabilities(row, head);
                    for (int j = 0; j < probabilities.Length; j++)
                    {
                        for (int i = 0; i < _headSize; i++)
                        {
                            result[(((row * _heads) + head) * _headSize) + i] += probabilities[j] * _values[CacheIndex(j, head) + i];
                        }
                    }
                }
            }

            return result;
        }

        public double[] ExpectedImportance(int rows)
        {
            double[] result = new double[_tokens];
            for (int row = Rows - rows; row < Rows; row++)
            {
                for (int head = 0; head < _heads; head++)
                {
                    double[] probabilities = Probabilities(row, head);
                    for (int j = 0; j < probabilities.Length; j++)
                    {
                        result[j] += probabilities[j] / (rows * _heads);
                    }
                }
            }

            return result;
        }

        private double[] Probabilities(int row, int head)
        {
            double[] scores = new double[_limits[row]];
            for (int j = 0; j < scores.Length; j++)
            {
                for (int i = 0; i < _headSize; i++)
                {
                    scores[j] += (double)_queries[(((row * _heads) + head) * _headSize) + i] * _keys[CacheIndex(j, head) + i];
                }
            }

            double largest = scores.Max() / Math.Sqrt(_headSize);
            double[] powers = [.. scores.Select(s => Math.Exp((s / Math.Sqrt(_headSize)) - largest))];
            double sum = powers.Sum();
            return [.. powers.Select(p => p / sum)];
        }

        private int CacheIndex(int token, int head) => ((_slots[token] * _keyValueHeads) + (head / (_heads / _keyValueHeads))) * _headSize;

        private AttentionArguments Arguments(float* q, float* k, float* v, float* o, int* slots, int* limits, int rows) => new()
        {
            Query = q,
            QueryStride = _heads * _headSize,
            Output = o,
            OutputStride = _heads * _headSize,
            Rows = rows,
            Limits = limits,
            Keys = k,
            Values = v,
            CacheStride = _keyValueHeads * _headSize,
            Slots = slots,
            TokenCount = _tokens,
            HeadCount = _heads,
            KeyValueHeadCount = _keyValueHeads,
            HeadSize = _headSize,
            Scale = (float)(1 / Math.Sqrt(_headSize)),
        };
    }
}
