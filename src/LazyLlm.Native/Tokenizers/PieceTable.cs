using System.Diagnostics.CodeAnalysis;

namespace LazyLlm.Native.Tokenizers;

/// <summary>Byte strings and their token ids; looked up by span, so that nothing is copied while text is encoded.</summary>
internal sealed class PieceTable
{
    private readonly Dictionary<byte[], int> _ids;
    private readonly Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> _bySpan;

    /// <summary>Creates an empty table with room for <paramref name="capacity"/> pieces.</summary>
    public PieceTable(int capacity)
    {
        _ids = new Dictionary<byte[], int>(capacity, new ByteStringComparer());
        _bySpan = _ids.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    /// <summary>Length in bytes of the longest piece; no longer byte string can be found.</summary>
    public int LongestPiece { get; private set; }

    /// <summary>Adds a piece; false when the same bytes have an id already.</summary>
    public bool TryAdd(byte[] piece, int id)
    {
        LongestPiece = Math.Max(LongestPiece, piece.Length);
        return _ids.TryAdd(piece, id);
    }

    /// <summary>The id of these bytes, if they are a piece.</summary>
    public bool TryGetId(ReadOnlySpan<byte> piece, out int id) => _bySpan.TryGetValue(piece, out id);

    private sealed class ByteStringComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode([DisallowNull] byte[] obj) => GetHashCode(obj.AsSpan());

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = new HashCode();
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
