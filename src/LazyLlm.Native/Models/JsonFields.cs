using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>
/// The fields of one JSON object of a model's file, read with checks: each error names the file, the field, what was
/// found and what was expected. A field that is absent and one that is null are the same.
/// </summary>
internal sealed class JsonFields
{
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    private readonly string _path;
    private readonly string _prefix;
    private readonly JsonElement _object;

    private JsonFields(string path, string prefix, JsonElement element)
    {
        _path = path;
        _prefix = prefix;
        _object = element;
    }

    /// <summary>Parses a file's content: strict JSON in UTF-8, no key twice in one object.</summary>
    /// <exception cref="ModelFormatException">It is not that.</exception>
    public static JsonDocument Parse(string path, ReadOnlyMemory<byte> json)
    {
        if (!Utf8.IsValid(json.Span))
        {
            throw new ModelFormatException(path, "is not UTF-8.");
        }

        try
        {
            return JsonDocument.Parse(json, Strict);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException is how System.Text.Json refuses a key with half a surrogate pair.
            throw new ModelFormatException(path, $"is not valid JSON: {Excerpt.Of(e.Message)}", e);
        }
    }

    /// <summary>The fields of a file's outermost object.</summary>
    public static JsonFields Of(string path, JsonDocument document)
    {
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw new ModelFormatException(path, $"is {Show(document.RootElement)}; expected a JSON object.");
        }

        return new JsonFields(path, "", document.RootElement);
    }

    /// <summary>Whether the field is there and not null.</summary>
    public bool Has(string name) => TryGet(name, out _);

    /// <summary>An inner object, if there.</summary>
    public JsonFields? Object(string name)
    {
        if (!TryGet(name, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.Object
            ? new JsonFields(_path, $"{_prefix}{name}.", value)
            : Refuse<JsonFields>(name, value, "an object");
    }

    /// <summary>A whole number from <paramref name="min"/> to <paramref name="max"/>, if there.</summary>
    public int? Integer(string name, int min, int max)
    {
        if (!TryGet(name, out JsonElement value))
        {
            return null;
        }

        bool fits = value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= min && number <= max;
        return fits ? value.GetInt32() : Refuse<int>(name, value, $"a whole number from {min:N0} to {max:N0}");
    }

    /// <summary>A whole number from <paramref name="min"/> to <paramref name="max"/>.</summary>
    public int RequiredInteger(string name, int min, int max) =>
        Integer(name, min, max) ?? Missing<int>(name, $"a whole number from {min:N0} to {max:N0}");

    /// <summary>A number from <paramref name="min"/> to <paramref name="max"/>, if there; <see cref="double.Epsilon"/> stands for "above 0".</summary>
    public double? Number(string name, double min, double max)
    {
        if (!TryGet(name, out JsonElement value))
        {
            return null;
        }

        bool fits = value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max;
        return fits ? value.GetDouble() : Refuse<double>(name, value, Range(min, max));
    }

    /// <summary>As <see cref="Number"/>, and there.</summary>
    public double RequiredNumber(string name, double min, double max) =>
        Number(name, min, max) ?? Missing<double>(name, Range(min, max));

    /// <summary>True or false, if there.</summary>
    public bool? Flag(string name)
    {
        if (!TryGet(name, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => Refuse<bool>(name, value, "true or false"),
        };
    }

    /// <summary>A string, if there.</summary>
    public string? Text(string name) => TryGet(name, out JsonElement value) ? TextOf(name, value) : null;

    /// <summary>An array of strings, if there.</summary>
    public string[]? Texts(string name)
    {
        if (!TryGet(name, out JsonElement value))
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            Refuse<int>(name, value, "an array of strings");
        }

        var texts = new string[value.GetArrayLength()];
        int count = 0;
        foreach (JsonElement item in value.EnumerateArray())
        {
            texts[count++] = TextOf(name, item);
        }

        return texts;
    }

    /// <summary>One token id or an array of them, each below <paramref name="vocabulary"/>; if there.</summary>
    public int[]? Tokens(string name, int vocabulary)
    {
        const int MaxTokens = 1_024;
        if (!TryGet(name, out JsonElement value))
        {
            return null;
        }

        string expected = $"a token id from 0 to {vocabulary - 1}, or an array of at most {MaxTokens:N0} of them";
        JsonElement whole = value;
        if (value.ValueKind == JsonValueKind.Number)
        {
            return [TokenOf(value)];
        }

        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > MaxTokens)
        {
            Refuse<int>(name, value, expected);
        }

        return [.. value.EnumerateArray().Select(TokenOf)];

        int TokenOf(JsonElement item) =>
            item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out int token) && token >= 0 && token < vocabulary
                ? token
                : Refuse<int>(name, whole, expected);
    }

    /// <summary>Every field of the object with its text, which must be a string.</summary>
    public IEnumerable<KeyValuePair<string, string>> AllTexts()
    {
        foreach (JsonProperty property in _object.EnumerateObject())
        {
            yield return new(property.Name, TextOf(Excerpt.Of(property.Name), property.Value));
        }
    }

    /// <summary>Raises the error for a field whose value is there but will not do.</summary>
    [DoesNotReturn]
    public void Refuse(string name, string expected) =>
        Refuse<int>(name, _object.TryGetProperty(name, out JsonElement value) ? value : default, expected);

    private bool TryGet(string name, out JsonElement value) =>
        _object.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;

    private string TextOf(string name, JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
        {
            try
            {
                return value.GetString()!;
            }
            catch (InvalidOperationException)
            {
                // Half a surrogate pair: no text, so refused below.
            }
        }

        return Refuse<string>(name, value, "a string");
    }

    [DoesNotReturn]
    private T Refuse<T>(string name, JsonElement value, string expected) =>
        throw new ModelFormatException(_path, $"{_prefix}{name} is {Show(value)}; expected {expected}.");

    [DoesNotReturn]
    private T Missing<T>(string name, string expected) =>
        throw new ModelFormatException(_path, $"has no {_prefix}{name}; expected {expected}.");

    private static string Range(double min, double max) =>
        (min == double.Epsilon ? "a finite number above 0" : $"a finite number of at least {min:R}")
        + (max == double.MaxValue ? "" : $" and at most {max:R}");

    private static string Show(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Undefined => "missing",
        JsonValueKind.Object => "an object",
        _ => Excerpt.Of(value.GetRawText()),
    };
}
