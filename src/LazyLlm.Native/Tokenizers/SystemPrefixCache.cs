namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// The first tokens of all conversations under each of the system messages that came last. Few and bounded in bytes,
/// whatever is asked: a message that alone is over the bound is encoded anew each time. Safe to share between threads.
/// </summary>
internal sealed class SystemPrefixCache
{
    /// <summary>How many messages are kept.</summary>
    internal const int MostMessages = 8;

    /// <summary>How many bytes their texts and tokens may have together.</summary>
    internal const long MostBytes = 4 << 20;

    private readonly Lock _lock = new();

    // The one used last stands first.
    private readonly List<(string Message, int[] Tokens)> _kept = new(MostMessages + 1);

    /// <summary>How many messages are kept now.</summary>
    internal int Count
    {
        get
        {
            lock (_lock)
            {
                return _kept.Count;
            }
        }
    }

    /// <summary>The tokens of a message, encoded if they are not kept. Two threads may encode the same message at once.</summary>
    /// <param name="message">The system message.</param>
    /// <param name="encode">Makes its tokens; nobody changes them afterwards.</param>
    public int[] GetOrAdd(string message, Func<int[]> encode)
    {
        lock (_lock)
        {
            if (Take(message) is int[] kept)
            {
                _kept.Insert(0, (message, kept));
                return kept;
            }
        }

        int[] tokens = encode();
        if (Bytes((message, tokens)) > MostBytes)
        {
            return tokens;
        }

        lock (_lock)
        {
            _ = Take(message);
            _kept.Insert(0, (message, tokens));
            while (_kept.Count > MostMessages || _kept.Sum(Bytes) > MostBytes)
            {
                _kept.RemoveAt(_kept.Count - 1);
            }
        }

        return tokens;
    }

    private static long Bytes((string Message, int[] Tokens) entry) => ((long)sizeof(char) * entry.Message.Length) + ((long)sizeof(int) * entry.Tokens.Length);

    private int[]? Take(string message)
    {
        int i = _kept.FindIndex(entry => entry.Message == message);
        if (i < 0)
        {
            return null;
        }

        int[] tokens = _kept[i].Tokens;
        _kept.RemoveAt(i);
        return tokens;
    }
}
