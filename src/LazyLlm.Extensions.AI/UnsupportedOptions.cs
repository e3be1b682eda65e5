using LazyLlm.Native.Errors;
using Microsoft.Extensions.AI;

namespace LazyLlm.Extensions.AI;

/// <summary>
/// What a request may ask for and this client does not have. What would change an answer is refused by name, unless its value
/// asks for nothing; the rest (background responses, several tool calls at once) is ignored, as the interface says.
/// </summary>
internal static class UnsupportedOptions
{
    /// <exception cref="InvalidOptionException">One of the options is not supported.</exception>
    public static void Refuse(ChatOptions options, string model)
    {
        Refuse(options.Tools is { Count: > 0 }, nameof(options.Tools), "the model calls no tools");
        Refuse(options.ToolMode is RequiredChatToolMode, nameof(options.ToolMode), "the model calls no tools");
        Refuse(options.ResponseFormat is not (null or ChatResponseFormatText), nameof(options.ResponseFormat), "answers are plain text");
        Refuse(options.ConversationId is not null, nameof(options.ConversationId), "the client keeps no conversations; pass all messages each time");
        Refuse(options.ModelId is string other && other != model, nameof(options.ModelId), $"found '{options.ModelId}', and the client serves '{model}' alone");
        Refuse(options.FrequencyPenalty is not (null or 0), nameof(options.FrequencyPenalty), "return SamplingOptions with a RepetitionPenalty from RawRepresentationFactory");
        Refuse(options.PresencePenalty is not (null or 0), nameof(options.PresencePenalty), "return SamplingOptions with a RepetitionPenalty from RawRepresentationFactory");
        Refuse(options.Reasoning?.Effort is not (null or ReasoningEffort.None), nameof(options.Reasoning), "the model answers at once");
    }

    private static void Refuse(bool isAsked, string name, string reason)
    {
        if (isAsked)
        {
            throw new InvalidOptionException(name, $"is not supported: {reason}. Leave it out.");
        }
    }
}
