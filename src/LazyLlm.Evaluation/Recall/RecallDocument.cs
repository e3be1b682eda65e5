namespace LazyLlm.Evaluation.Recall;

/// <summary>A document of facts and fillers with questions about different facts; all questions have different answers.</summary>
/// <param name="Text">The sentences, joined by spaces.</param>
/// <param name="Questions">The questions, in the order in which to ask them.</param>
public sealed record RecallDocument(string Text, IReadOnlyList<RecallQuestion> Questions)
{
    /// <summary>The prompt for the first question asked of a fresh session, without the start token.</summary>
    /// <param name="question">Index into <see cref="Questions"/>.</param>
    public string Prompt(int question = 0) => $"{Text} {Questions[question].Text}";

    /// <summary>
    /// What to append to a session whose last answer was given and ended by its full stop, to ask the next question.
    /// It opens with the space that separates sentences: tokenise it without a start token.
    /// </summary>
    /// <param name="question">Index into <see cref="Questions"/>.</param>
    public string FollowUp(int question) => $" {Questions[question].Text}";
}
