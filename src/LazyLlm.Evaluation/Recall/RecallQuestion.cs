namespace LazyLlm.Evaluation.Recall;

/// <summary>A question about one fact of a <see cref="RecallDocument"/>.</summary>
/// <param name="Text">The question up to and with the words that ask for the answer: <c>Question: ...? Answer:</c>.</param>
/// <param name="Answer">The word that answers it, without the full stop that ends the answer.</param>
/// <param name="Fact">The sentence of the document that holds the answer.</param>
/// <param name="Depth">Where that sentence begins, as a share of the document's characters: 0 first, near 1 last.</param>
public sealed record RecallQuestion(string Text, string Answer, string Fact, double Depth)
{
    /// <summary>The text that ends an answer; a model is stopped there.</summary>
    public const string AnswerEnd = ".";

    /// <summary>Whether a generated text answers the question: its words up to the full stop are the answer.</summary>
    /// <param name="generated">What the model wrote after <c>Answer:</c>, with or without what followed the full stop.</param>
    public bool IsAnsweredBy(string generated)
    {
        ArgumentNullException.ThrowIfNull(generated);
        int end = generated.IndexOf(AnswerEnd, StringComparison.Ordinal);
        ReadOnlySpan<char> words = end < 0 ? generated : generated.AsSpan(0, end);
        return words.Trim().SequenceEqual(Answer);
    }
}
