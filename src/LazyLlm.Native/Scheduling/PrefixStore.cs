using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Scheduling;

/// <summary>Sequences that stand at the end of a shared prompt beginning, to fork from. The least recently used go first.</summary>
internal sealed class PrefixStore(LlamaEngine engine, long budget) : IDisposable
{
    // Few and rarely changed: a list in order of use is enough. The last was used last.
    private readonly List<Entry> _entries = [];

    /// <summary>Beginnings kept.</summary>
    public int Count => _entries.Count;

    /// <summary>Bytes that they take from the device.</summary>
    public long Bytes { get; private set; }

    /// <summary>K and V of theirs in use.</summary>
    public long KeyValueBytes => _entries.Sum(e => e.Sequence.Memory.KeyValueBytes);

    /// <summary>Aux caches of theirs in use.</summary>
    public long AuxBytes => _entries.Sum(e => e.Sequence.Memory.AuxBytes);

    /// <summary>A copy of the sequence after exactly these tokens under this schedule; null where there is none, or no memory for it.</summary>
    public Sequence? TryFork(PruningSchedule schedule, ReadOnlySpan<int> tokens)
    {
        int index = Find(schedule, tokens);
        if (index < 0)
        {
            return null;
        }

        Entry entry = _entries[index];
        _entries.RemoveAt(index);
        _entries.Add(entry);
        return TryCopy(entry.Sequence);
    }

    /// <summary>Keeps a copy of a sequence that has taken exactly these tokens, if the budget and the device's memory allow.</summary>
    public void TrySave(PruningSchedule schedule, ReadOnlySpan<int> tokens, Sequence sequence)
    {
        long bytes = sequence.Memory.AllocatedBytes;
        if (bytes > budget || Find(schedule, tokens) >= 0)
        {
            return;
        }

        while (Bytes + bytes > budget)
        {
            DropOldest();
        }

        if (TryCopy(sequence) is not Sequence copy)
        {
            return;
        }

        bytes = copy.Memory.AllocatedBytes;
        _entries.Add(new Entry(schedule, tokens.ToArray(), copy, bytes));
        Bytes += bytes;
    }

    /// <summary>Frees the one unused for longest.</summary>
    /// <returns>Whether there was one.</returns>
    public bool DropOldest()
    {
        if (_entries.Count == 0)
        {
            return false;
        }

        Entry entry = _entries[0];
        _entries.RemoveAt(0);
        Bytes -= entry.Bytes;
        entry.Sequence.Dispose();
        engine.Release();
        return true;
    }

    public void Dispose()
    {
        while (DropOldest())
        {
        }
    }

    /// <summary>Reuse only saves time: what there is no memory for is computed instead.</summary>
    private Sequence? TryCopy(Sequence sequence)
    {
        try
        {
            return engine.ForkSequence(sequence);
        }
        catch (DeviceMemoryException)
        {
            return null;
        }
    }

    private int Find(PruningSchedule schedule, ReadOnlySpan<int> tokens)
    {
        for (int i = 0; i < _entries.Count; i++)
        {
            if (tokens.SequenceEqual(_entries[i].Tokens) && schedule.Equals(_entries[i].Schedule))
            {
                return i;
            }
        }

        return -1;
    }

    private sealed record Entry(PruningSchedule Schedule, int[] Tokens, Sequence Sequence, long Bytes);
}
