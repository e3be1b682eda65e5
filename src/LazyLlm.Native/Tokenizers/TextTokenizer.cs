using System.Text;
using System.Text.Unicode;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// Turns text into token ids and back. Text is always text: a control token's name inside it (<c>&lt;s&gt;</c>,
/// <c>&lt;|endoftext|&gt;</c>) is encoded letter by letter, and control tokens are only ever added by id. A lone
/// surrogate is encoded as U+FFFD. Immutable, safe to share between threads.
/// </summary>
public abstract class TextTokenizer
{
    private readonly byte[][] _bytes;
    private readonly string?[] _controlNames;

    /// <summary>Creates the part that all tokenizers share.</summary>
    /// <param name="path">The file that the tokenizer came from.</param>
    /// <param name="bytes">Per id the UTF-8 bytes that it stands for; empty for control tokens.</param>
    /// <param name="controlNames">Per id the name of a control token, null for tokens that stand for text.</param>
    /// <param name="dropsLeadingSpace">Whether encoding puts a space before the text that decoding takes away.</param>
    private protected TextTokenizer(string path, byte[][] bytes, string?[] controlNames, bool dropsLeadingSpace)
    {
        Path = path;
        _bytes = bytes;
        _controlNames = controlNames;
        DropsLeadingSpace = dropsLeadingSpace;
    }

    /// <summary>The file that the tokenizer came from.</summary>
    public string Path { get; }

    /// <summary>Number of tokens; ids run from 0 to this less one. A model's embedding may have more rows, never fewer.</summary>
    public int VocabularySize => _bytes.Length;

    /// <summary>The token that opens a sequence, or null when the model was trained without one.</summary>
    public abstract int? BeginToken { get; }

    /// <summary>The tokens that end a text.</summary>
    public abstract IReadOnlyList<int> EndTokens { get; }

    /// <summary>Whether encoding puts a space before the text, so that decoding takes one away at the text's start.</summary>
    internal bool DropsLeadingSpace { get; }

    /// <summary>Encodes a text that opens a sequence.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addBeginToken">Whether <see cref="BeginToken"/> comes first, where the model has one.</param>
    public int[] Encode(string text, bool addBeginToken = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        if (addBeginToken && BeginToken is int begin)
        {
            ids.Add(begin);
        }

        EncodeTo(text, ids);
        return [.. ids];
    }

    /// <summary>
    /// Encodes a text that goes on where earlier text stopped: unlike <see cref="Encode"/> it puts no space before it.
    /// </summary>
    public int[] EncodeContinuation(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        EncodeTo(text, ids, continuation: true);
        return [.. ids];
    }

    /// <summary>Appends the ids of a text to a list.</summary>
    /// <param name="text">The text; an empty one adds nothing.</param>
    /// <param name="ids">Receives the ids.</param>
    /// <param name="continuation">Whether the text goes on where earlier text stopped (no space is put before it).</param>
    public abstract void EncodeTo(ReadOnlySpan<char> text, List<int> ids, bool continuation = false);

    /// <summary>
    /// The text of a sequence. Control tokens, and ids beyond the vocabulary (spare rows of the model's embedding), stand
    /// for no text; bytes that are no UTF-8 become U+FFFD.
    /// </summary>
    /// <param name="ids">Token ids.</param>
    /// <param name="continuation">Whether earlier text stands before it, so that a leading space is kept.</param>
    /// <exception cref="InvalidOptionException">An id is negative.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool continuation = false)
    {
        int length = 0;
        foreach (int id in ids)
        {
            length += TokenBytes(id).Length;
        }

        byte[] buffer = new byte[length];
        int end = 0;
        foreach (int id in ids)
        {
            ReadOnlySpan<byte> bytes = TokenBytes(id);
            bytes.CopyTo(buffer.AsSpan(end));
            end += bytes.Length;
        }

        ReadOnlySpan<byte> text = buffer;
        return Encoding.UTF8.GetString(!continuation && DropsLeadingSpace && text.StartsWith((byte)' ') ? text[1..] : text);
    }

    /// <summary>
    /// What each token shows of the text that opens with them, whole characters only: one that ends inside a character
    /// shows nothing, and the one that completes it shows it. Control tokens show their names.
    /// </summary>
    /// <exception cref="InvalidOptionException">An id is negative.</exception>
    public string[] SplitText(IReadOnlyList<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        StreamingDecoder decoder = CreateDecoder();
        string[] texts = new string[ids.Count];
        for (int i = 0; i < texts.Length; i++)
        {
            texts[i] = IsControlToken(ids[i]) ? TokenText(ids[i]) : new string(decoder.Append(ids[i]));
        }

        return texts;
    }

    /// <summary>A decoder that takes ids one by one and gives out whole characters only.</summary>
    /// <param name="continuation">Whether earlier text (a prompt) stands before it, so that a leading space is kept.</param>
    public StreamingDecoder CreateDecoder(bool continuation = false) => new(this, continuation);

    /// <summary>
    /// This tokenizer as Microsoft.ML.Tokenizers' class, for code that counts tokens or cuts text through it. It gives the
    /// same ids, without a begin token.
    /// </summary>
    public Microsoft.ML.Tokenizers.Tokenizer ToMicrosoftTokenizer() => new TokenizerAdapter(this);

    /// <summary>Whether an id stands for a control token, which is never part of a text.</summary>
    /// <exception cref="InvalidOptionException">The id is negative.</exception>
    public bool IsControlToken(int id) => CheckId(id) < _controlNames.Length && _controlNames[id] is not null;

    /// <summary>The UTF-8 bytes that a token stands for, possibly part of a character; none for control and spare ids.</summary>
    /// <exception cref="InvalidOptionException">The id is negative.</exception>
    public ReadOnlySpan<byte> TokenBytes(int id) => CheckId(id) < _bytes.Length ? _bytes[id] : [];

    /// <summary>
    /// What to show for a token on its own: its text, <c>&lt;0xE4&gt;</c> for each byte of a part of a character, a
    /// control token's name, or <c>&lt;unused 50400&gt;</c> for an id beyond the vocabulary.
    /// </summary>
    /// <exception cref="InvalidOptionException">The id is negative.</exception>
    public string TokenText(int id)
    {
        if (CheckId(id) >= _bytes.Length)
        {
            return $"<unused {id}>";
        }

        byte[] bytes = _bytes[id];
        return _controlNames[id]
            ?? (Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : string.Concat(bytes.Select(b => $"<0x{b:X2}>")));
    }

    /// <summary>Checks that a model has an embedding row for every token.</summary>
    /// <param name="embeddingRows">Rows of the model's embedding (<c>vocab_size</c>).</param>
    /// <exception cref="ModelFormatException">The tokenizer has more tokens than that.</exception>
    public void RequireFits(int embeddingRows)
    {
        if (VocabularySize > embeddingRows)
        {
            throw new ModelFormatException(
                Path,
                $"the tokenizer has {VocabularySize} tokens but the model's embedding only {embeddingRows} rows; the file belongs to another model. Use the tokenizer that came with the model.");
        }
    }

    private static int CheckId(int id)
    {
        if (id < 0)
        {
            throw new InvalidOptionException("token id", $"found {id}, expected 0 or more.");
        }

        return id;
    }
}
