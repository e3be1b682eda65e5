using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Methods;

/// <summary>A prompt's tokens, with the range of them that the document takes.</summary>
/// <param name="Ids">All tokens, the start token included.</param>
/// <param name="DocumentStart">First token of the document.</param>
/// <param name="DocumentEnd">First token behind it.</param>
internal readonly record struct PromptTokens(int[] Ids, int DocumentStart, int DocumentEnd)
{
    /// <summary>
    /// Tokenises the whole prompt, so that the tokens are those of the dense run, and finds the document by the tokens
    /// that its surroundings share with it: a token that reaches over a border belongs to the surroundings.
    /// </summary>
    public static PromptTokens Of(EvaluationPrompt prompt, TextTokenizer tokenizer)
    {
        int[] ids = tokenizer.Encode(prompt.Text);
        int start = ids.AsSpan().CommonPrefixLength(tokenizer.Encode(prompt.Head));
        int end = ids.Length - (prompt.Tail.Length == 0 ? 0 : tokenizer.EncodeContinuation(prompt.Tail).Length);
        return new PromptTokens(ids, start, Math.Max(start, end));
    }
}
