using System.Text.Json;

namespace LazyLlm.Server.Http;

/// <summary>Reads values of fields that may have several types. Errors name the field.</summary>
internal static class JsonValues
{
    /// <summary>A string.</summary>
    public static string Text(JsonElement value, string field)
    {
        if (value.ValueKind != JsonValueKind.String)
        {
            throw ApiException.Invalid(field, "expected a string.");
        }

        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // How System.Text.Json refuses half of a surrogate pair, and bytes that are no UTF-8.
            throw ApiException.Invalid(field, "expected valid Unicode, found half of a surrogate pair or bytes that are no UTF-8.");
        }
    }

    /// <summary>A string or an array of strings; none where the field is absent or null.</summary>
    public static string[] TextOrTexts(JsonElement? value, string field) => value switch
    {
        null or { ValueKind: JsonValueKind.Null } => [],
        { ValueKind: JsonValueKind.String } text => [Text(text, field)],
        { ValueKind: JsonValueKind.Array } texts => [.. texts.EnumerateArray().Select((text, i) => Text(text, $"{field}[{i}]"))],
        _ => throw ApiException.Invalid(field, "expected a string or an array of strings."),
    };

    /// <summary>An array of whole numbers.</summary>
    public static int[] TokenIds(JsonElement list, string field)
    {
        int[] ids = new int[list.GetArrayLength()];
        int i = 0;
        foreach (JsonElement item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out ids[i]))
            {
                throw ApiException.Invalid($"{field}[{i}]", "expected a token id, a whole number.");
            }

            i++;
        }

        return ids;
    }
}
