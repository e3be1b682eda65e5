using System.Numerics.Tensors;
using System.Security.Cryptography;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Sampling;

/// <summary>
/// Chooses tokens from logits by <see cref="SamplingOptions"/>. It remembers the latest tokens for the repetition
/// penalty, belongs to one sequence and one caller at a time, and allocates nothing per token.
/// </summary>
public sealed class Sampler
{
    private readonly SamplingOptions _options;
    private readonly float[] _scores;
    private readonly float[] _exponentials;
    private readonly ulong[] _candidates;
    private readonly int[] _window;
    private readonly bool[] _penalised;
    private RandomSequence _random;
    private int _windowCount;
    private int _windowNext;

    /// <summary>Creates a sampler.</summary>
    /// <param name="options">The options, checked here.</param>
    /// <param name="vocabularySize">Number of logits.</param>
    /// <exception cref="InvalidOptionException">An option is out of range.</exception>
    public Sampler(SamplingOptions options, int vocabularySize)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 1);
        options.Validate(vocabularySize);
        _options = options;
        VocabularySize = vocabularySize;
        Seed = options.Seed ?? DrawSeed();
        _random = new RandomSequence(Seed);
        _exponentials = new float[vocabularySize];
        bool penalises = options.RepetitionPenalty != 1 && options.RepetitionWindow > 0;
        _window = penalises ? new int[options.RepetitionWindow] : [];
        _penalised = penalises ? new bool[vocabularySize] : [];
        _scores = penalises || !options.IsGreedy ? new float[vocabularySize] : [];
        _candidates = options.IsGreedy ? [] : new ulong[vocabularySize];
    }

    /// <summary>Number of logits.</summary>
    public int VocabularySize { get; }

    /// <summary>The seed in use: the one of the options, or the one that was drawn.</summary>
    public ulong Seed { get; }

    /// <summary>Tells the sampler of tokens that it did not choose (the prompt), for the repetition penalty.</summary>
    /// <exception cref="InvalidOptionException">An id is negative or beyond the vocabulary.</exception>
    public void Observe(ReadOnlySpan<int> tokens)
    {
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)VocabularySize)
            {
                throw new InvalidOptionException("token id", $"found {token}, expected 0 to {VocabularySize - 1}.");
            }
        }

        foreach (int token in tokens[Math.Max(0, tokens.Length - _window.Length)..])
        {
            Remember(token);
        }
    }

    /// <summary>Chooses the next token and remembers it.</summary>
    /// <param name="logits">The model's logits by token id; left as they are.</param>
    /// <exception cref="InvalidLogitsException">A logit is NaN or positive infinity, or all are negative infinity.</exception>
    public SampledToken Sample(ReadOnlySpan<float> logits)
    {
        if (logits.Length != VocabularySize)
        {
            throw new ArgumentException($"Found {logits.Length} logits, expected {VocabularySize}.", nameof(logits));
        }

        float highest = TensorPrimitives.Max(logits);
        if (!float.IsFinite(highest))
        {
            ThrowInvalid(logits);
        }

        // Taken first, since drawing reuses the buffer of exponentials.
        float logSum = LogSumOfExponentials(logits, highest);
        int token = Choose(logits, highest);
        Remember(token);
        return new SampledToken(token, logits[token] - highest - logSum);
    }

    private static void ThrowInvalid(ReadOnlySpan<float> logits)
    {
        const string Advice = "The weights are damaged, or numbers overflowed their format; check the model's files.";
        for (int i = 0; i < logits.Length; i++)
        {
            if (float.IsNaN(logits[i]) || float.IsPositiveInfinity(logits[i]))
            {
                throw new InvalidLogitsException($"The logit of token {i} is {logits[i]}, expected a number. {Advice}");
            }
        }

        throw new InvalidLogitsException($"All {logits.Length} logits are negative infinity, so no token can be chosen. {Advice}");
    }

    private static ulong DrawSeed()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(bytes);
        return BitConverter.ToUInt64(bytes);
    }

    // Sorts ascending from the highest score to the lowest, and from the lowest id to the highest among equals.
    private static ulong Key(float score, int token)
    {
        // Adding zero makes -0 and 0 the same; flipping bits makes the order of floats that of integers.
        uint bits = BitConverter.SingleToUInt32Bits(score + 0f);
        uint ascending = (bits & 0x8000_0000) != 0 ? ~bits : bits | 0x8000_0000;
        return ((ulong)~ascending << 32) | (uint)token;
    }

    private float LogSumOfExponentials(ReadOnlySpan<float> logits, float highest)
    {
        TensorPrimitives.Subtract(logits, highest, _exponentials);
        TensorPrimitives.Exp(_exponentials, _exponentials);
        return MathF.Log(TensorPrimitives.Sum(_exponentials.AsSpan()));
    }

    private int Choose(ReadOnlySpan<float> logits, float highest)
    {
        if (_windowCount > 0)
        {
            Penalise(logits);
            logits = _scores;
            highest = TensorPrimitives.Max(logits);
        }

        // The first of equal logits, so that ties go to the lowest id.
        return _options.IsGreedy ? logits.IndexOf(highest) : Draw(logits, highest);
    }

    private void Penalise(ReadOnlySpan<float> logits)
    {
        logits.CopyTo(_scores);
        float penalty = _options.RepetitionPenalty;
        ReadOnlySpan<int> window = _window.AsSpan(0, _windowCount);
        foreach (int token in window)
        {
            if (!_penalised[token])
            {
                _penalised[token] = true;
                float score = _scores[token];
                // Kept finite: a penalty ranks tokens, it never bans one.
                float changed = score > 0 ? score / penalty : score * penalty;
                _scores[token] = float.IsFinite(score) ? Math.Clamp(changed, float.MinValue, float.MaxValue) : score;
            }
        }

        foreach (int token in window)
        {
            _penalised[token] = false;
        }
    }

    private int Draw(ReadOnlySpan<float> logits, float highest)
    {
        // From here on a score is the logarithm of a weight, 0 for the most probable token.
        TensorPrimitives.Subtract(logits, highest, _scores);
        TensorPrimitives.Divide(_scores, _options.Temperature, _scores);
        int count = 0;
        for (int token = 0; token < _scores.Length; token++)
        {
            if (_scores[token] > float.NegativeInfinity)
            {
                _candidates[count++] = Key(_scores[token], token);
            }
        }

        count = KeepTopK(count);
        double total = Weigh(count);
        count = KeepTopP(count, ref total);
        count = KeepMinP(count, ref total);

        double target = _random.NextDouble() * total;
        double reached = 0;
        int chosen = 0;
        for (int i = 0; i < count && reached <= target; i++)
        {
            // Only tokens with a weight can be chosen, however the sum rounds.
            if (Weight(i) > 0)
            {
                chosen = i;
                reached += Weight(i);
            }
        }

        return Token(chosen);
    }

    private int Token(int candidate) => (int)(uint)_candidates[candidate];

    private float Weight(int candidate) => _exponentials[Token(candidate)];

    private double Weigh(int count)
    {
        TensorPrimitives.Exp(_scores, _exponentials);
        double total = 0;
        for (int i = 0; i < count; i++)
        {
            total += Weight(i);
        }

        return total;
    }

    private int KeepTopK(int count)
    {
        int keep = _options.TopK;
        if (keep == 0 || keep >= count)
        {
            return count;
        }

        Partition(_candidates.AsSpan(0, count), keep);
        return keep;
    }

    private int KeepTopP(int count, ref double total)
    {
        if (_options.TopP >= 1)
        {
            return count;
        }

        // Tokens below this weight do not reach 1 - p all together, so none of them is needed; what is left is short to sort.
        double negligible = (1 - (double)_options.TopP) * total / count;
        int likely = 0;
        for (int i = 0; i < count; i++)
        {
            if (Weight(i) >= negligible)
            {
                _candidates[likely++] = _candidates[i];
            }
        }

        _candidates.AsSpan(0, likely).Sort();
        double wanted = _options.TopP * total;
        double reached = 0;
        int kept = 0;
        do
        {
            reached += Weight(kept++);
        }
        while (kept < likely && reached < wanted);
        total = reached;
        return kept;
    }

    private int KeepMinP(int count, ref double total)
    {
        if (_options.MinP == 0)
        {
            return count;
        }

        // The most probable token has the weight 1.
        int kept = 0;
        total = 0;
        for (int i = 0; i < count; i++)
        {
            if (Weight(i) >= _options.MinP)
            {
                total += Weight(i);
                _candidates[kept++] = _candidates[i];
            }
        }

        return kept;
    }

    // Quickselect: afterwards the first `keep` keys are the lowest ones.
    private static void Partition(Span<ulong> keys, int keep)
    {
        int low = 0;
        int high = keys.Length - 1;
        while (low < high)
        {
            ulong a = keys[low], b = keys[(low + high) >>> 1], c = keys[high];
            ulong pivot = Math.Max(Math.Min(a, b), Math.Min(Math.Max(a, b), c));
            int left = low;
            int right = high;
            while (left <= right)
            {
                while (keys[left] < pivot)
                {
                    left++;
                }

                while (keys[right] > pivot)
                {
                    right--;
                }

                if (left <= right)
                {
                    (keys[left], keys[right]) = (keys[right], keys[left]);
                    left++;
                    right--;
                }
            }

            if (keep - 1 <= right)
            {
                high = right;
            }
            else if (keep - 1 >= left)
            {
                low = left;
            }
            else
            {
                return;
            }
        }
    }

    private void Remember(int token)
    {
        if (_window.Length > 0)
        {
            _window[_windowNext] = token;
            _windowNext = (_windowNext + 1) % _window.Length;
            _windowCount = Math.Min(_windowCount + 1, _window.Length);
        }
    }
}
