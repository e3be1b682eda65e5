namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// Llama 2's chat form, as its makers' code writes it: every question and answer is encoded apart, begins with the begin
/// token and ends with the end token; the system message stands inside the first question.
/// </summary>
/// <remarks><c>[INST]</c> is ordinary text to these models, so it means the same where a user writes it.</remarks>
internal sealed class Llama2ChatTemplate : ChatTemplate
{
    /// <inheritdoc/>
    public override IReadOnlyList<string> StopStrings => [];

    /// <inheritdoc/>
    public override int[] EncodeFollowUp(TextTokenizer tokenizer, ReadOnlySpan<int> answer, string userText)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(userText);
        bool ended = !answer.IsEmpty && tokenizer.EndTokens.Contains(answer[^1]);
        return [.. ended ? [] : tokenizer.EndTokens.Take(1), .. tokenizer.Encode(Question(userText))];
    }

    private protected override void EncodeTo(TextTokenizer tokenizer, string? system, string[] turns, List<int> ids)
    {
        for (int i = 0; i < turns.Length; i += 2)
        {
            string question = Question(i == 0 && system is not null ? $"<<SYS>>\n{system}\n<</SYS>>\n\n{turns[0]}" : turns[i]);
            bool answered = i + 1 < turns.Length;
            ids.AddRange(tokenizer.Encode(answered ? $"{question} {turns[i + 1].Trim()} " : question));
            if (answered)
            {
                ids.AddRange(tokenizer.EndTokens.Take(1));
            }
        }
    }

    private static string Question(string text) => $"[INST] {text.Trim()} [/INST]";
}
