using System.Runtime.InteropServices;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Tests.Inference;

/// <summary>
/// The algorithm once more, in double precision, as plainly as it can be said: every position has a frontier (layers
/// computed) and a hidden state there; no caches, no slots, no batching. What sessions are held against.
/// </summary>
internal sealed class OracleSession(ModelFolder folder, PruningSchedule schedule)
{
    private readonly ModelConfig _config = folder.Config;
    private readonly StagePlan _plan = schedule.PlanFor(folder.Config.LayerCount);
    private readonly Dictionary<(WeightRole, int), double[]> _weights = [];
    private readonly List<double[]> _aux = [];
    private readonly List<int> _frontier = [];
    private readonly Dictionary<(int Layer, int Position), (double[] Key, double[] Value)> _cache = [];

    /// <summary>Layers computed per position.</summary>
    public IReadOnlyList<int> Frontier => _frontier;

    /// <summary>Per stage after the first, the relative distance of the scores at the border of the last selection.</summary>
    public double SmallestGap { get; private set; } = double.PositiveInfinity;

    /// <summary>Takes tokens to logits; <paramref name="kept"/> receives the token set of each stage.</summary>
    public double[] Step(ReadOnlySpan<int> tokens, List<int[]> kept)
    {
        int firstNew = _aux.Count;
        double[] embedding = Weight(WeightRole.Embedding, 0);
        foreach (int token in tokens)
        {
            _aux.Add(embedding.AsSpan(token * _config.HiddenSize, _config.HiddenSize).ToArray());
            _frontier.Add(0);
        }

        int[] set = [.. Enumerable.Range(0, _aux.Count)];
        double[] importance = [];
        foreach (Stage stage in _plan.Stages)
        {
            if (stage.Index > 0)
            {
                set = Select(stage, set, importance, firstNew);
            }

            kept.Add(set);
            int[] compute = [.. set.Where(p => _frontier[p] <= stage.FirstLayer && !_cache.ContainsKey((stage.FirstLayer, p)))];
            for (int layer = stage.FirstLayer; layer < stage.EndLayer; layer++)
            {
                double[] scores = RunLayer(layer, set, compute, firstNew);
                bool scored = layer >= stage.EndLayer - _plan.Rule.ScoreLayers;
                importance = scored && importance.Length == scores.Length && layer > Math.Max(stage.FirstLayer, stage.EndLayer - _plan.Rule.ScoreLayers)
                    ? [.. importance.Zip(scores, Math.Max)]
                    : scores;
            }
        }

        double[] last = Norm(_aux[^1], Weight(WeightRole.FinalNorm, 0));
        return Product(Weight(WeightRole.OutputHead, 0), last);
    }

    private int[] Select(Stage stage, int[] set, double[] importance, int firstNew)
    {
        SelectionRule rule = _plan.Rule;
        int length = _aux.Count;
        if (!rule.Revive && firstNew > 0)
        {
            return [.. set.Where(p => p >= firstNew || _frontier[p] > stage.FirstLayer)];
        }

        int half = rule.PoolWidth / 2;
        double[] pooled = [.. Enumerable.Range(0, set.Length).Select(i => importance[Math.Max(0, i - half)..Math.Min(set.Length, i + half + 1)].Average())];
        bool Stays(int position) => position < rule.KeepFirst || position >= length - rule.KeepRecent;
        int[] order = [.. Enumerable.Range(0, set.Length).OrderByDescending(i => Stays(set[i]) ? double.PositiveInfinity : pooled[i]).ThenBy(i => i)];
        int count = Math.Min(set.Length, Math.Max((int)Math.Ceiling((stage.Keep * length) - 1e-9), Math.Min(length, rule.KeepFirst + rule.KeepRecent)));
        if (rule.AttentionMass is double mass)
        {
            double held = 0;
            int enough = 0;
            while (enough < count && (held < mass * importance.Sum() || Stays(set[order[enough]])))
            {
                held += importance[order[enough++]];
            }

            count = Math.Max(1, enough);
            SmallestGap = 0;
        }

        if (count < set.Length && !Stays(set[order[count - 1]]))
        {
            SmallestGap = Math.Min(SmallestGap, (pooled[order[count - 1]] - pooled[order[count]]) / Math.Max(pooled[order[count]], 1e-300));
        }

        return [.. order[..count].Select(i => set[i]).Order()];
    }

    private double[] RunLayer(int layer, int[] set, int[] compute, int firstNew)
    {
        int size = _config.HeadSize;
        int group = _config.HeadCount / _config.KeyValueHeadCount;
        var queries = new Dictionary<int, double[]>();
        foreach (int position in compute)
        {
            double[] normed = Norm(_aux[position], Weight(WeightRole.AttentionNorm, layer));
            queries[position] = Rotate(Product(Weight(WeightRole.Query, layer), normed), position);
            _cache.Add((layer, position), (Rotate(Product(Weight(WeightRole.Key, layer), normed), position), Product(Weight(WeightRole.Value, layer), normed)));
        }

        double[] scores = new double[set.Length];
        int[] scored = [.. compute.Where(p => p >= firstNew).TakeLast(_plan.Rule.ScoreQueries)];
        foreach (int position in compute)
        {
            double[] attention = new double[_config.QueryWidth];
            int seen = set.Count(p => p <= position);
            for (int head = 0; head < _config.HeadCount; head++)
            {
                double[] weights = new double[seen];
                for (int j = 0; j < seen; j++)
                {
                    double[] key = _cache[(layer, set[j])].Key;
                    for (int d = 0; d < size; d++)
                    {
                        weights[j] += queries[position][(head * size) + d] * key[(head / group * size) + d];
                    }

                    weights[j] /= Math.Sqrt(size);
                }

                double top = weights.Max();
                weights = [.. weights.Select(w => Math.Exp(w - top))];
                double sum = weights.Sum();
                for (int j = 0; j < seen; j++)
                {
                    double probability = weights[j] / sum;
                    scores[j] += scored.Contains(position) ? probability / (_config.HeadCount * scored.Length) : 0;
                    for (int d = 0; d < size; d++)
                    {
                        attention[(head * size) + d] += probability * _cache[(layer, set[j])].Value[(head / group * size) + d];
                    }
                }
            }

            double[] x = Sum(_aux[position], Product(Weight(WeightRole.AttentionOutput, layer), attention));
            double[] normed = Norm(x, Weight(WeightRole.MlpNorm, layer));
            double[] gate = Product(Weight(WeightRole.Gate, layer), normed);
            double[] up = Product(Weight(WeightRole.Up, layer), normed);
            double[] active = [.. gate.Zip(up, (g, u) => g / (1 + Math.Exp(-g)) * u)];
            _aux[position] = Sum(x, Product(Weight(WeightRole.Down, layer), active));
            _frontier[position] = layer + 1;
        }

        return scores;
    }

    private double[] Rotate(double[] heads, int position)
    {
        int half = _config.HeadSize / 2;
        double[] turned = new double[heads.Length];
        for (int i = 0; i < heads.Length; i++)
        {
            int pair = i % _config.HeadSize % half;
            (double sine, double cosine) = Math.SinCos(position * Math.Pow(_config.RopeTheta, -2.0 * pair / _config.HeadSize));
            bool isLow = i % _config.HeadSize < half;
            turned[i] = (heads[i] * cosine) + (isLow ? -heads[i + half] * sine : heads[i - half] * sine);
        }

        return turned;
    }

    private double[] Norm(double[] x, double[] gains)
    {
        double scale = 1 / Math.Sqrt(x.Average(v => v * v) + _config.NormEpsilon);
        return [.. x.Zip(gains, (v, g) => v * scale * g)];
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    private static double[] Product(double[] weight, double[] x)
    {
        double[] result = new double[weight.Length / x.Length];
        for (int row = 0; row < result.Length; row++)
        {
            for (int i = 0; i < x.Length; i++)
            {
                result[row] += weight[(row * x.Length) + i] * x[i];
            }
        }

        return result;
    }

    private double[] Weight(WeightRole role, int layer)
    {
        if (!_weights.TryGetValue((role, layer), out double[]? values))
        {
            WeightTensor tensor = folder.Weights[role, layer];
            byte[] bytes = new byte[tensor.ByteLength];
            tensor.Read(0, bytes);
            values = tensor.Type switch
            {
                TensorType.Float32 => [.. MemoryMarshal.Cast<byte, float>(bytes).ToArray().Select(v => (double)v)],
                TensorType.Float16 => [.. MemoryMarshal.Cast<byte, Half>(bytes).ToArray().Select(v => (double)v)],
                _ => [.. MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(v => (double)BitConverter.UInt32BitsToSingle((uint)v << 16))],
            };
            _weights.Add((role, layer), values);
        }

        return values;
    }
}
