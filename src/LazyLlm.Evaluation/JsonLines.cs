using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation;

/// <summary>Reading of files with one JSON value per line; every failure names file and line.</summary>
internal static class JsonLines
{
    /// <summary>The lines that are not empty, with their numbers from 1.</summary>
    public static IEnumerable<(int Number, string Text)> Read(string path)
    {
        using StreamReader reader = Open(path);
        for (int number = 1; ReadLine(reader, path, number) is string line; number++)
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                yield return (number, line);
            }
        }
    }

    /// <summary>Makes a value of one line.</summary>
    public static T Parse<T>(string path, int line, string text, Func<JsonElement, T> read)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return read(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a string with half a surrogate pair.
            throw new DataFormatException(path, line, $"not a JSON record: {error.Message}", error);
        }
    }

    /// <summary>A list of strings; null where the field is absent or null.</summary>
    public static IReadOnlyList<string>? Strings(JsonElement root, string field, string path, int line)
    {
        if (!root.TryGetProperty(field, out JsonElement list) || list.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        Require(
            list.ValueKind == JsonValueKind.Array && list.EnumerateArray().All(entry => entry.ValueKind == JsonValueKind.String),
            path,
            line,
            $"'{field}' is not a list of strings.");
        return [.. list.EnumerateArray().Select(entry => entry.GetString()!)];
    }

    /// <summary>Refuses a line for what it holds.</summary>
    public static void Require(bool holds, string path, int line, string problem)
    {
        if (!holds)
        {
            throw new DataFormatException(path, line, problem);
        }
    }

    private static StreamReader Open(string path)
    {
        try
        {
            return new StreamReader(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataFormatException(path, 0, $"cannot be read: {error.Message}", error);
        }
    }

    private static string? ReadLine(StreamReader reader, string path, int number)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (IOException error)
        {
            throw new DataFormatException(path, number, $"cannot be read: {error.Message}", error);
        }
    }
}
