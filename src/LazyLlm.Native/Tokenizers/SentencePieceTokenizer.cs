using System.Buffers;
using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// SentencePiece BPE with byte fallback, as Llama 2 and its derivatives use (<c>tokenizer.model</c>). A text gets a space
/// before it, spaces become U+2581, and neighbours merge by highest score, leftmost first.
/// </summary>
public sealed class SentencePieceTokenizer : TextTokenizer
{
    private const char SpaceMark = '\u2581';

    private readonly SentencePieceModel _model;
    private readonly PieceTable _table;
    private readonly PieceTable _userDefined;
    private readonly int[] _priorities;
    private readonly int[] _byteTokens = new int[256];
    private readonly bool _hasUnused;

    private SentencePieceTokenizer(string path, SentencePieceModel model, byte[][] bytes, string?[] controlNames)
        : base(path, bytes, controlNames, model.AddsLeadingSpace)
    {
        _model = model;
        _priorities = RankScores(model.Pieces);
        _table = new PieceTable(model.Pieces.Count);
        _userDefined = new PieceTable(0);
        for (int id = 0; id < model.Pieces.Count; id++)
        {
            SentencePiece piece = model.Pieces[id];
            switch (piece.Kind)
            {
                case SentencePieceKind.Byte:
                    _byteTokens[SentencePieceModel.ParseByte(piece.Text)] = id;
                    break;
                case SentencePieceKind.UserDefined:
                    _userDefined.TryAdd(piece.Text, id);
                    break;
                case SentencePieceKind.Normal or SentencePieceKind.Unused:
                    _table.TryAdd(piece.Text, id);
                    _hasUnused |= piece.Kind == SentencePieceKind.Unused;
                    break;
            }
        }

        BeginToken = model.BeginToken;
        EndTokens = model.EndToken >= 0 ? [model.EndToken] : [];
    }

    /// <inheritdoc/>
    public override int? BeginToken { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<int> EndTokens { get; }

    /// <summary>Reads a <c>tokenizer.model</c> file.</summary>
    /// <exception cref="ModelFormatException">The file is missing, damaged or of a kind that is not supported.</exception>
    public static SentencePieceTokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        SentencePieceModel model = SentencePieceModel.Read(path);
        var bytes = new byte[model.Pieces.Count][];
        var controlNames = new string?[model.Pieces.Count];
        for (int id = 0; id < bytes.Length; id++)
        {
            SentencePiece piece = model.Pieces[id];
            string text = Encoding.UTF8.GetString(piece.Text);
            controlNames[id] = piece.Kind == SentencePieceKind.Control ? text : null;
            bytes[id] = piece.Kind switch
            {
                SentencePieceKind.Control => [],
                SentencePieceKind.Byte => [(byte)SentencePieceModel.ParseByte(piece.Text)],
                SentencePieceKind.Unknown => Encoding.UTF8.GetBytes(model.UnknownText),
                _ => Encoding.UTF8.GetBytes(text.Replace(SpaceMark, ' ')),
            };
        }

        return new SentencePieceTokenizer(path, model, bytes, controlNames);
    }

    /// <inheritdoc/>
    public override void EncodeTo(ReadOnlySpan<char> text, List<int> ids, bool continuation = false)
    {
        ArgumentNullException.ThrowIfNull(ids);
        if (text.IsEmpty)
        {
            return;
        }

        bool prefix = DropsLeadingSpace && !continuation;
        char[] marked = ArrayPool<char>.Shared.Rent(text.Length + 1);
        Span<char> characters = marked.AsSpan(0, text.Length + (prefix ? 1 : 0));
        characters[0] = SpaceMark;
        text.Replace(characters[^text.Length..], ' ', SpaceMark);
        byte[] rented = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(characters.Length));
        int length = Encoding.UTF8.GetBytes(characters, rented);
        EncodeBytes(rented.AsSpan(0, length), ids);
        ArrayPool<char>.Shared.Return(marked);
        ArrayPool<byte>.Shared.Return(rented);
    }

    // Merges need an order, not the scores themselves: 0 for the highest score, equal scores alike.
    private static int[] RankScores(List<SentencePiece> pieces)
    {
        float[] scores = [.. pieces.Select(p => p.Score).Distinct().OrderDescending()];
        Dictionary<float, int> ranks = [];
        for (int i = 0; i < scores.Length; i++)
        {
            ranks.Add(scores[i], i);
        }

        return [.. pieces.Select(p => ranks[p.Score])];
    }

    private void EncodeBytes(ReadOnlySpan<byte> text, List<int> ids)
    {
        Dictionary<int, int>? splits = _hasUnused ? [] : null;
        var merger = new BytePairMerger(_table, _priorities, splits);
        int first = ids.Count;
        int segment = 0;
        for (int i = 0; i < text.Length && _userDefined.LongestPiece > 0;)
        {
            if (TryMatchUserDefined(text[i..], out int id, out int length))
            {
                EncodeSegment(merger, text[segment..i], ids, first, splits);
                ids.Add(id);
                segment = i += length;
            }
            else
            {
                Rune.DecodeFromUtf8(text[i..], out _, out int character);
                i += character;
            }
        }

        EncodeSegment(merger, text[segment..], ids, first, splits);
    }

    private bool TryMatchUserDefined(ReadOnlySpan<byte> text, out int id, out int length)
    {
        for (length = Math.Min(text.Length, _userDefined.LongestPiece); length > 0; length--)
        {
            if (_userDefined.TryGetId(text[..length], out id))
            {
                return true;
            }
        }

        id = -1;
        return false;
    }

    private void EncodeSegment(BytePairMerger merger, ReadOnlySpan<byte> text, List<int> ids, int first, Dictionary<int, int>? splits)
    {
        if (text.IsEmpty)
        {
            return;
        }

        merger.Merge(text, byCharacter: true);
        for (int symbol = 0; symbol >= 0;)
        {
            AddSymbol(text[merger.Next(ref symbol)], ids, first, splits);
        }
    }

    private void AddSymbol(ReadOnlySpan<byte> symbol, List<int> ids, int first, Dictionary<int, int>? splits)
    {
        if (_table.TryGetId(symbol, out int id))
        {
            if (splits is not null && _model.Pieces[id].Kind == SentencePieceKind.Unused && splits.TryGetValue(id, out int left))
            {
                AddSymbol(symbol[..left], ids, first, splits);
                AddSymbol(symbol[left..], ids, first, splits);
            }
            else
            {
                ids.Add(id);
            }
        }
        else if (_model.ByteFallback)
        {
            foreach (byte b in symbol)
            {
                ids.Add(_byteTokens[b]);
            }
        }
        else if (ids.Count == first || ids[^1] != _model.UnknownToken)
        {
            // Neighbouring unknown characters make one unknown token, as in SentencePiece.
            ids.Add(_model.UnknownToken);
        }
    }
}
