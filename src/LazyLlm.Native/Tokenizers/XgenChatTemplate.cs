using System.Text;

namespace LazyLlm.Native.Tokenizers;

/// <summary>XGen's chat form. A system message takes the place of the usual header.</summary>
internal sealed class XgenChatTemplate : ChatTemplate
{
    private const string Header =
        "A chat between a curious human and an artificial intelligence assistant. "
        + "The assistant gives helpful, detailed, and polite answers to the human's questions.\n\n";

    /// <inheritdoc/>
    public override IReadOnlyList<string> StopStrings { get; } = ["###"];

    /// <inheritdoc/>
    public override int[] EncodeFollowUp(TextTokenizer tokenizer, ReadOnlySpan<int> answer, string userText)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(userText);
        // An answer that stopped at its stop string has written the next speaker's mark itself.
        string text = tokenizer.Decode(answer, continuation: true);
        string mark = text.EndsWith("###", StringComparison.Ordinal) ? "" : text.EndsWith('\n') ? "###" : "\n###";
        return tokenizer.EncodeContinuation($"{mark} Human: {userText}\n### Assistant:");
    }

    private protected override void EncodeTo(TextTokenizer tokenizer, string? system, string[] turns, List<int> ids)
    {
        var text = new StringBuilder(system is null ? Header : $"{system}\n\n");
        for (int i = 0; i < turns.Length; i++)
        {
            text.Append(i % 2 == 0 ? $"### Human: {turns[i]}\n### Assistant:" : $" {turns[i].Trim()}\n");
        }

        if (tokenizer.BeginToken is int begin)
        {
            ids.Add(begin);
        }

        tokenizer.EncodeTo(text.ToString(), ids);
    }
}
