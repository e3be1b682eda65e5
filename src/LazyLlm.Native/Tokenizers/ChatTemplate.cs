using System.Runtime.CompilerServices;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// The form in which a chat model was trained to see a conversation. The result is token ids: control tokens are put in
/// by id, so nothing inside a message can become one.
/// </summary>
public abstract class ChatTemplate
{
    /// <summary>Beginnings shorter than this are computed as fast as copied.</summary>
    private const int LeastSharedPrefix = 32;

    // Per tokenizer, and gone with it.
    private readonly ConditionalWeakTable<TextTokenizer, SystemPrefixCache> _systemPrefixes = [];

    private protected ChatTemplate()
    {
    }

    /// <summary>The form of Llama 2's chat models: <c>[INST] ... [/INST]</c>, each turn with its begin and end token.</summary>
    public static ChatTemplate Llama2 { get; } = new Llama2ChatTemplate();

    /// <summary>The form of XGen's instruction models: a header, then <c>### Human:</c> and <c>### Assistant:</c>.</summary>
    public static ChatTemplate Xgen { get; } = new XgenChatTemplate();

    /// <summary>Strings at which an answer ends, besides the model's end tokens.</summary>
    public abstract IReadOnlyList<string> StopStrings { get; }

    /// <summary>The form that goes with a tokenizer: XGen's with XGen's, else that of Llama 2.</summary>
    public static ChatTemplate For(TextTokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return tokenizer is XgenTokenizer ? Xgen : Llama2;
    }

    /// <summary>The tokens of a conversation, up to where the model's next answer begins.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="messages">Perhaps a system message, then user and assistant in turn, a user message last.</param>
    /// <exception cref="InvalidOptionException">The roles do not come in that order.</exception>
    public int[] Encode(TextTokenizer tokenizer, IReadOnlyList<ChatMessage> messages)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(messages);
        string? system = messages.Count > 0 && messages[0].Role == ChatRole.System ? messages[0].Text : null;
        int first = system is null ? 0 : 1;
        for (int i = first; i < messages.Count; i++)
        {
            ChatRole expected = (i - first) % 2 == 0 ? ChatRole.User : ChatRole.Assistant;
            if (messages[i].Role != expected)
            {
                throw Invalid($"message {i} is of the role {messages[i].Role}, expected {expected}: perhaps a system message, then user and assistant in turn.");
            }
        }

        if (messages.Count == 0 || messages[^1].Role != ChatRole.User)
        {
            throw Invalid($"found {messages.Count} messages that do not end with the user's, expected the user's message last.");
        }

        var ids = new List<int>();
        EncodeTo(tokenizer, system, [.. messages.Skip(first).Select(message => message.Text)], ids);
        return [.. ids];
    }

    /// <summary>
    /// How many of a conversation's first tokens every conversation under its system message has: what a scheduler may keep for
    /// the next one. 0 without a system message, and where they are so few that computing them takes no longer than copying.
    /// </summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="messages">The conversation.</param>
    /// <param name="tokens">Its tokens, as <see cref="Encode"/> gives them.</param>
    public int SystemPrefix(TextTokenizer tokenizer, IReadOnlyList<ChatMessage> messages, ReadOnlySpan<int> tokens)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (messages.Count == 0 || messages[0].Role != ChatRole.System)
        {
            return 0;
        }

        ArgumentNullException.ThrowIfNull(tokenizer);
        ReadOnlySpan<int> common = _systemPrefixes.GetOrCreateValue(tokenizer).GetOrAdd(messages[0].Text, Common);
        int shared = Math.Min(common.CommonPrefixLength(tokens), tokens.Length - 1);
        return shared >= LeastSharedPrefix ? shared : 0;

        // Two conversations that differ from the first letter of the question on: what they share does not hang on any question.
        int[] Common()
        {
            int[] one = With("a");
            return one[..one.AsSpan().CommonPrefixLength(With("1"))];
        }

        int[] With(string question) => Encode(tokenizer, [messages[0], new ChatMessage(ChatRole.User, question)]);
    }

    /// <summary>
    /// The tokens to append to a session after the model's answer, so that it answers the user's next message. What is
    /// missing at the answer's end, which may have stopped short, comes first.
    /// </summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="answer">The answer's tokens as the session has them, with the token that ended it if that is among them.</param>
    /// <param name="userText">The user's next message.</param>
    public abstract int[] EncodeFollowUp(TextTokenizer tokenizer, ReadOnlySpan<int> answer, string userText);

    /// <summary>Appends the tokens of a conversation.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="system">The system message, if any.</param>
    /// <param name="turns">What user and assistant said in turn, the user first and last.</param>
    /// <param name="ids">Receives the tokens.</param>
    private protected abstract void EncodeTo(TextTokenizer tokenizer, string? system, string[] turns, List<int> ids);

    private static InvalidOptionException Invalid(string problem) => new("messages", problem);
}
