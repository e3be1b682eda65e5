using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Native.Tests.Tokenizers;

/// <summary>A tokenizer that remembers how often which texts were encoded by it; otherwise the one that it is given.</summary>
internal sealed class CountingTokenizer(TextTokenizer inner)
    : TextTokenizer(
        inner.Path,
        [.. Enumerable.Range(0, inner.VocabularySize).Select(id => inner.TokenBytes(id).ToArray())],
        [.. Enumerable.Range(0, inner.VocabularySize).Select(id => inner.IsControlToken(id) ? inner.TokenText(id) : null)],
        inner.DropsLeadingSpace)
{
    private readonly List<string> _texts = [];

    public override int? BeginToken => inner.BeginToken;

    public override IReadOnlyList<int> EndTokens => inner.EndTokens;

    /// <summary>How many of the encoded texts have this in them.</summary>
    public int Encodings(string part) => _texts.Count(text => text.Contains(part, StringComparison.Ordinal));

    public override void EncodeTo(ReadOnlySpan<char> text, List<int> ids, bool continuation = false)
    {
        _texts.Add(text.ToString());
        inner.EncodeTo(text, ids, continuation);
    }
}
