namespace LazyLlm.Evaluation.Tasks;

/// <summary>A prompt in its parts. Methods that drop text drop it from the document only, never from what asks about it.</summary>
/// <param name="Head">What stands before the document: instructions.</param>
/// <param name="Document">The document.</param>
/// <param name="Tail">What stands behind it: the question.</param>
public sealed record EvaluationPrompt(string Head, string Document, string Tail)
{
    /// <summary>The whole prompt, without a start token.</summary>
    public string Text => $"{Head}{Document}{Tail}";
}
