using System.Text.Unicode;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// Decodes ids one by one. A token may end inside a character; its last bytes (three at most) wait for the next token,
/// so what is given out is whole characters. The pieces together are the text that
/// <see cref="TextTokenizer.Decode"/> gives for all ids at once. Belongs to one caller at a time.
/// </summary>
/// <remarks>Bytes that no continuation could turn into UTF-8 become U+FFFD at once, as in any UTF-8 decoder.</remarks>
public sealed class StreamingDecoder
{
    private readonly TextTokenizer _tokenizer;
    private byte[] _bytes = new byte[64];
    private char[] _chars = new char[64];
    private int _pending;
    private bool _atStart;

    internal StreamingDecoder(TextTokenizer tokenizer, bool continuation)
    {
        _tokenizer = tokenizer;
        _atStart = !continuation && tokenizer.DropsLeadingSpace;
    }

    /// <summary>Number of bytes of an unfinished character that wait for the next token, 0 to 3.</summary>
    public int PendingByteCount => _pending;

    /// <summary>Takes the next token.</summary>
    /// <returns>The characters that it completes, none or many; valid until the next call.</returns>
    /// <exception cref="InvalidOptionException">The id is negative.</exception>
    public ReadOnlySpan<char> Append(int id)
    {
        ReadOnlySpan<byte> bytes = _tokenizer.TokenBytes(id);
        if (_atStart && !bytes.IsEmpty)
        {
            _atStart = false;
            bytes = bytes[0] == (byte)' ' ? bytes[1..] : bytes;
        }

        int length = _pending + bytes.Length;
        if (length > _bytes.Length)
        {
            Array.Resize(ref _bytes, 2 * length);
            // UTF-16 never takes more units than UTF-8 takes bytes.
            _chars = new char[_bytes.Length];
        }

        bytes.CopyTo(_bytes.AsSpan(_pending));
        return Convert(length, isLast: false);
    }

    /// <summary>Ends the text.</summary>
    /// <returns>U+FFFD for a character that never got its last bytes, else nothing; valid until the next call.</returns>
    public ReadOnlySpan<char> Flush() => Convert(_pending, isLast: true);

    private ReadOnlySpan<char> Convert(int length, bool isLast)
    {
        Utf8.ToUtf16(_bytes.AsSpan(0, length), _chars, out int read, out int written, replaceInvalidSequences: true, isFinalBlock: isLast);
        _pending = length - read;
        _bytes.AsSpan(read, _pending).CopyTo(_bytes);
        return _chars.AsSpan(0, written);
    }
}
