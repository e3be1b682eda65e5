namespace LazyLlm.Evaluation;

/// <summary>
/// A small random generator whose stream is fixed by its seed on every machine and runtime, so that a seed
/// in a result file means the same documents and the same dropped tokens everywhere (SplitMix64).
/// </summary>
internal sealed class SplitMix64(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15;
        ulong mixed = _state;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return mixed ^ (mixed >> 31);
    }

    /// <summary>A number from 0 to <paramref name="count"/> - 1.</summary>
    public int Below(int count) => (int)Math.BigMul(Next(), (ulong)count, out _);

    /// <summary>One of the entries.</summary>
    public T Pick<T>(IReadOnlyList<T> entries) => entries[Below(entries.Count)];

    /// <summary>Puts the entries into a random order (Fisher and Yates).</summary>
    public void Shuffle<T>(Span<T> entries)
    {
        for (int last = entries.Length - 1; last > 0; last--)
        {
            int other = Below(last + 1);
            (entries[last], entries[other]) = (entries[other], entries[last]);
        }
    }
}
