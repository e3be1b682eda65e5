using System.Text;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// The merge loop that both kinds of byte-pair encoding share: of all neighbours whose joined bytes are a piece, the
/// pair of the best priority is joined first, and among equals the leftmost. A heap of candidates over a linked list of
/// symbols makes it O(n log n), also for one word of a megabyte.
/// </summary>
/// <remarks>
/// Microsoft.ML.Tokenizers 2.0.1 breaks ties of equal score otherwise than SentencePiece (a run of the same letter comes
/// out differently), and its tiktoken encoder takes quadratic time on one long word; hence a loop of our own.
/// One instance serves one call of an encoder; it is reused from word to word but not shared between threads.
/// </remarks>
internal sealed class BytePairMerger
{
    private readonly PieceTable _table;
    private readonly int[] _priorities;
    private readonly PriorityQueue<Candidate, long> _candidates = new();
    private readonly Dictionary<int, int>? _splits;
    private Symbol[] _symbols = new Symbol[64];

    /// <summary>Creates a merger.</summary>
    /// <param name="table">Pieces by their bytes.</param>
    /// <param name="priorities">Per token id, 0 or more: lower merges first.</param>
    /// <param name="splits">If given, receives per token id of the candidates seen the length in bytes of its left part.</param>
    public BytePairMerger(PieceTable table, int[] priorities, Dictionary<int, int>? splits = null)
    {
        _table = table;
        _priorities = priorities;
        _splits = splits;
    }

    /// <summary>Merges a text into final symbols, walked with <see cref="Next"/>.</summary>
    /// <param name="text">UTF-8 bytes, at least one.</param>
    /// <param name="byCharacter">True to start from characters (SentencePiece), false to start from bytes (tiktoken).</param>
    public void Merge(ReadOnlySpan<byte> text, bool byCharacter)
    {
        int count = Split(text, byCharacter);
        _candidates.Clear();
        for (int i = 1; i < count; i++)
        {
            Propose(text, i - 1, i);
        }

        while (_candidates.TryDequeue(out Candidate best, out _))
        {
            ref Symbol left = ref _symbols[best.Left];
            ref Symbol right = ref _symbols[best.Right];
            // A candidate is stale once either of its symbols has been joined with another.
            if (left.Length == 0 || right.Length == 0 || left.Length + right.Length != best.Length)
            {
                continue;
            }

            left.Length = best.Length;
            left.Next = right.Next;
            right.Length = 0;
            if (left.Next >= 0)
            {
                _symbols[left.Next].Previous = best.Left;
                Propose(text, best.Left, left.Next);
            }

            if (left.Previous >= 0)
            {
                Propose(text, left.Previous, best.Left);
            }
        }
    }

    /// <summary>
    /// Walks the symbols of the last merge: start with <paramref name="symbol"/> = 0; after each call it is the next one, or -1.
    /// </summary>
    public Range Next(ref int symbol)
    {
        Symbol current = _symbols[symbol];
        symbol = current.Next;
        return current.Start..(current.Start + current.Length);
    }

    private int Split(ReadOnlySpan<byte> text, bool byCharacter)
    {
        if (_symbols.Length < text.Length)
        {
            _symbols = new Symbol[Math.Max(text.Length, 2 * _symbols.Length)];
        }

        int count = 0;
        for (int start = 0; start < text.Length; count++)
        {
            int length = 1;
            if (byCharacter)
            {
                Rune.DecodeFromUtf8(text[start..], out _, out length);
            }

            _symbols[count] = new Symbol { Start = start, Length = length, Previous = count - 1, Next = count + 1 };
            start += length;
        }

        _symbols[count - 1].Next = -1;
        return count;
    }

    private void Propose(ReadOnlySpan<byte> text, int left, int right)
    {
        int length = _symbols[left].Length + _symbols[right].Length;
        if (length <= _table.LongestPiece && _table.TryGetId(text.Slice(_symbols[left].Start, length), out int id))
        {
            _splits?[id] = _symbols[left].Length;
            _candidates.Enqueue(new Candidate(left, right, length), ((long)_priorities[id] << 32) | (uint)left);
        }
    }

    private readonly record struct Candidate(int Left, int Right, int Length);

    private struct Symbol
    {
        public int Start;
        public int Length;
        public int Previous;
        public int Next;
    }
}
