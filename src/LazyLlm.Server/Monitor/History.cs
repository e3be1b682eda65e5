namespace LazyLlm.Server.Monitor;

/// <summary>The newest entries, so many and no more, each with an id that rises by one. Safe for any number of threads.</summary>
internal sealed class History<T>(int capacity)
    where T : class
{
    private readonly T[] _entries = new T[capacity];
    private readonly object _gate = new();
    private long _next = 1;

    /// <summary>Adds an entry; the oldest goes.</summary>
    /// <param name="create">Makes it, given its id.</param>
    public void Add(Func<long, T> create)
    {
        lock (_gate)
        {
            _entries[_next % capacity] = create(_next);
            _next++;
        }
    }

    /// <summary>The entries after an id, oldest first, as far as they are still there.</summary>
    public T[] After(long id)
    {
        lock (_gate)
        {
            long first = Math.Max(Math.Max(1, _next - capacity), id >= _next ? _next : id + 1);
            T[] entries = new T[_next - first];
            for (int i = 0; i < entries.Length; i++)
            {
                entries[i] = _entries[(first + i) % capacity];
            }

            return entries;
        }
    }
}
