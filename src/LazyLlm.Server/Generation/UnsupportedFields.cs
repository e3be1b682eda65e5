using System.Collections.Frozen;
using System.Text.Json;
using LazyLlm.Server.Http;

namespace LazyLlm.Server.Generation;

/// <summary>
/// Fields of OpenAI's API and of other servers that would change an answer and that this server does not have: they are
/// refused by name, unless their value asks for nothing. Fields that change no answer (user, metadata, ...) are ignored.
/// </summary>
internal static class UnsupportedFields
{
    private static readonly FrozenDictionary<string, JsonElement[]> Neutral = new Dictionary<string, string[]>
    {
        ["allowed_token_ids"] = ["[]"],
        ["audio"] = [],
        ["bad_words"] = ["[]"],
        ["best_of"] = ["1"],
        ["chat_template"] = [],
        ["chat_template_kwargs"] = ["{}"],
        ["continue_final_message"] = ["false"],
        ["dry_multiplier"] = ["0"],
        ["dynatemp_range"] = ["0"],
        ["frequency_penalty"] = ["0"],
        ["function_call"] = ["\"none\"", "\"auto\""],
        ["functions"] = ["[]"],
        ["grammar"] = ["\"\""],
        ["guided_choice"] = [],
        ["guided_grammar"] = [],
        ["guided_json"] = [],
        ["guided_regex"] = [],
        ["json_schema"] = ["{}"],
        ["length_penalty"] = ["1"],
        ["logit_bias"] = ["{}", "[]"],
        ["logprobs"] = ["false"],
        ["min_tokens"] = ["0"],
        ["mirostat"] = ["0"],
        ["modalities"] = ["[\"text\"]"],
        ["n_predict"] = ["-1"],
        ["presence_penalty"] = ["0"],
        ["prompt_logprobs"] = [],
        ["reasoning_effort"] = ["\"none\""],
        ["repeat_penalty"] = ["1"],
        ["response_format"] = ["{\"type\":\"text\"}"],
        ["stop_token_ids"] = ["[]"],
        ["structured_outputs"] = [],
        ["suffix"] = ["\"\""],
        ["tool_choice"] = ["\"none\"", "\"auto\""],
        ["tools"] = ["[]"],
        ["top_logprobs"] = ["0"],
        ["truncate_prompt_tokens"] = [],
        ["typical_p"] = ["1"],
        ["use_beam_search"] = ["false"],
        ["web_search_options"] = [],
        ["xtc_probability"] = ["0"],
    }.ToFrozenDictionary(field => field.Key, field => field.Value.Select(Parse).ToArray());

    /// <exception cref="ApiException">One of the fields is not supported.</exception>
    public static void Refuse(Dictionary<string, JsonElement>? fields)
    {
        foreach ((string name, JsonElement value) in fields ?? [])
        {
            if (value.ValueKind != JsonValueKind.Null
                && Neutral.TryGetValue(name, out JsonElement[]? harmless)
                && !harmless.Any(neutral => JsonElement.DeepEquals(neutral, value)))
            {
                throw ApiException.Invalid(name, "is not supported by this server; leave it out.", "unsupported_parameter");
            }
        }
    }

    private static JsonElement Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.Clone();
    }
}
