using System.Buffers;
using Microsoft.ML.Tokenizers;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// A <see cref="TextTokenizer"/> as a Microsoft.ML.Tokenizers <see cref="Tokenizer"/>, for code that counts tokens or
/// cuts text into chunks through that class. It gives the model's own ids, without a begin token; offsets count
/// characters of the text as given, and a character made of several tokens belongs to the last of them.
/// </summary>
internal sealed class TokenizerAdapter : Tokenizer
{
    private readonly TextTokenizer _tokenizer;

    /// <summary>Wraps a tokenizer.</summary>
    public TokenizerAdapter(TextTokenizer tokenizer) => _tokenizer = tokenizer;

    /// <inheritdoc/>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        ArgumentNullException.ThrowIfNull(ids);
        StreamingDecoder decoder = _tokenizer.CreateDecoder();
        int taken = idsConsumed = charsWritten = 0;
        int written = 0;
        foreach (int id in ids)
        {
            ReadOnlySpan<char> piece = decoder.Append(id);
            if (!piece.TryCopyTo(destination[written..]))
            {
                return OperationStatus.DestinationTooSmall;
            }

            taken++;
            written += piece.Length;
            if (decoder.PendingByteCount == 0)
            {
                (idsConsumed, charsWritten) = (taken, written);
            }
        }

        if (!decoder.Flush().TryCopyTo(destination[written..]))
        {
            return OperationStatus.DestinationTooSmall;
        }

        charsWritten = written + (idsConsumed < taken ? 1 : 0);
        idsConsumed = taken;
        return OperationStatus.Done;
    }

    /// <inheritdoc/>
    public override string Decode(IEnumerable<int> ids) => _tokenizer.Decode([.. ids]);

    /// <inheritdoc/>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        ReadOnlySpan<char> characters = text ?? textSpan;
        var ids = new List<int>();
        _tokenizer.EncodeTo(characters, ids);
        int count = Math.Min(ids.Count, settings.MaxTokenCount);
        var tokens = new EncodedToken[count];
        StreamingDecoder decoder = _tokenizer.CreateDecoder();
        int end = 0;
        for (int i = 0; i < count; i++)
        {
            int start = end;
            // The text of an unknown token may be longer than what it stands for.
            end = Math.Min(characters.Length, end + decoder.Append(ids[i]).Length);
            tokens[i] = new EncodedToken(ids[i], _tokenizer.TokenText(ids[i]), start..end);
        }

        return new EncodeResults<EncodedToken> { Tokens = tokens, CharsConsumed = end };
    }
}
