using System.Text.Json;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;

namespace LazyLlm.Server.Generation;

/// <summary>Makes tokens of what requests bring as prompts and messages.</summary>
internal sealed class PromptReader(TextTokenizer tokenizer, ChatTemplate template)
{
    private const string ExpectedPrompt = "expected a string, an array of strings, token ids, or an array of arrays of token ids.";

    /// <summary>The prompts of a completion request: their tokens, and their text where it was given.</summary>
    /// <param name="prompt">The request's field.</param>
    /// <param name="limit">How many there may be; more are refused before they are tokenised.</param>
    public List<(int[] Tokens, string? Text)> ReadPrompts(JsonElement? prompt, int limit)
    {
        switch (prompt)
        {
            case { ValueKind: JsonValueKind.String } text:
                return [Tokenize(text, "prompt")];
            case { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() > 0:
                JsonValueKind kind = list[0].ValueKind;
                if (list.EnumerateArray().Any(item => item.ValueKind != kind))
                {
                    throw ApiException.Invalid("prompt", $"found values of several types, {ExpectedPrompt}");
                }

                if (kind != JsonValueKind.Number && list.GetArrayLength() > limit)
                {
                    throw TooManyAnswers("prompt", list.GetArrayLength(), limit);
                }

                return kind switch
                {
                    JsonValueKind.Number => [(JsonValues.TokenIds(list, "prompt"), null)],
                    JsonValueKind.String => [.. list.EnumerateArray().Select((item, i) => Tokenize(item, $"prompt[{i}]"))],
                    JsonValueKind.Array => [.. list.EnumerateArray().Select((item, i) => (JsonValues.TokenIds(item, $"prompt[{i}]"), (string?)null))],
                    _ => throw ApiException.Invalid("prompt", ExpectedPrompt),
                };
            case null or { ValueKind: JsonValueKind.Null }:
                throw ApiException.Invalid("prompt", $"found none, {ExpectedPrompt}");
            default:
                throw ApiException.Invalid("prompt", ExpectedPrompt);
        }
    }

    /// <summary>What is said to a request for more answers than one request may have.</summary>
    public static ApiException TooManyAnswers(string field, long count, int limit) =>
        ApiException.Invalid(field, $"{count} answers are asked for, and the server gives at most {limit} to one request.");

    /// <summary>The tokens of a conversation, and how many of the first ones every conversation under its system message has.</summary>
    public (int[] Tokens, int SystemPrefix) ReadChat(ChatRequestMessage?[]? messages)
    {
        if (messages is not { Length: > 0 })
        {
            throw ApiException.Invalid("messages", "found none, expected one at least.");
        }

        ChatMessage[] chat = [.. messages.Select((message, i) => ReadMessage(message, $"messages[{i}]"))];
        int[] tokens = template.Encode(tokenizer, chat);
        return (tokens, template.SystemPrefix(tokenizer, chat, tokens));
    }

    private static ChatMessage ReadMessage(ChatRequestMessage? message, string field)
    {
        ChatRole role = message?.Role switch
        {
            "system" or "developer" => ChatRole.System,
            "user" => ChatRole.User,
            "assistant" => ChatRole.Assistant,
            null => throw ApiException.Invalid($"{field}.role", "found none, expected system, developer, user or assistant."),
            string other => throw ApiException.Invalid($"{field}.role", $"found '{other}', expected system, developer, user or assistant."),
        };
        if (message.ToolCalls is { ValueKind: not JsonValueKind.Null } calls && (calls.ValueKind != JsonValueKind.Array || calls.GetArrayLength() > 0))
        {
            throw ApiException.Invalid($"{field}.tool_calls", "is not supported by this server; leave it out.", "unsupported_parameter");
        }

        return message.Content switch
        {
            { ValueKind: JsonValueKind.String } text => new ChatMessage(role, JsonValues.Text(text, $"{field}.content")),
            { ValueKind: JsonValueKind.Array } parts => new ChatMessage(role, string.Concat(parts.EnumerateArray().Select((part, i) => ReadPart(part, $"{field}.content[{i}]")))),
            _ => throw ApiException.Invalid($"{field}.content", "expected a string, or an array of parts of the type text."),
        };
    }

    private static string ReadPart(JsonElement part, string field)
    {
        if (part.ValueKind == JsonValueKind.Object
            && part.TryGetProperty("type", out JsonElement type) && type.ValueKind == JsonValueKind.String && type.ValueEquals("text")
            && part.TryGetProperty("text", out JsonElement text))
        {
            return JsonValues.Text(text, $"{field}.text");
        }

        throw ApiException.Invalid(field, "expected {\"type\": \"text\", \"text\": \"...\"}: the model reads text alone.");
    }

    private (int[] Tokens, string? Text) Tokenize(JsonElement element, string field)
    {
        string text = JsonValues.Text(element, field);
        return (tokenizer.Encode(text), text);
    }
}
