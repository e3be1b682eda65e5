namespace LazyLlm.Server.Metrics;

/// <summary>The numbers of one metric under one set of attributes. Its metric guards it.</summary>
internal sealed class MetricSeries(KeyValuePair<string, object?>[] tags, double[] bounds)
{
    private readonly long[] _buckets = new long[bounds.Length + 1];

    /// <summary>The attributes, by name.</summary>
    public KeyValuePair<string, object?>[] Tags { get; } = tags;

    /// <summary>A gauge's value, a counter's sum, or the sum of a histogram's values.</summary>
    public double Value { get; set; }

    /// <summary>A histogram's count of values.</summary>
    public long Count { get; private set; }

    /// <summary>Whether an observed value is of the collection under way.</summary>
    public bool IsFresh { get; set; }

    /// <summary>A histogram's counts per bucket, not cumulative; the last one has no upper bound.</summary>
    public ReadOnlySpan<long> Buckets => _buckets;

    /// <summary>Puts a value into a histogram: into the first bucket whose bound is not below it.</summary>
    public void Observe(double value)
    {
        int bucket = Array.BinarySearch(bounds, value);
        _buckets[bucket < 0 ? ~bucket : bucket]++;
        Value += value;
        Count++;
    }

    /// <summary>Whether these are the same attributes, in any order.</summary>
    public bool Has(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.Length != Tags.Length)
        {
            return false;
        }

        foreach (KeyValuePair<string, object?> own in Tags)
        {
            bool found = false;
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                found |= tag.Key == own.Key && Equals(tag.Value, own.Value);
            }

            if (!found)
            {
                return false;
            }
        }

        return true;
    }
}
