namespace LazyLlm.Native.Tokenizers;

/// <summary>One message of a chat.</summary>
/// <param name="Role">Who says it.</param>
/// <param name="Text">What is said; always text, never control tokens.</param>
public readonly record struct ChatMessage(ChatRole Role, string Text);
