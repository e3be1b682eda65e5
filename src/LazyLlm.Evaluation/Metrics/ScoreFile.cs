using System.Text.Encodings.Web;
using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Metrics;

/// <summary>
/// Scores pairs of a file: an object of metric name to a list of <c>{prediction, ground_truth, all_classes}</c>.
/// </summary>
public static class ScoreFile
{
    /// <summary>Writes the same object with our <c>score</c> in each entry, in place of one that it had.</summary>
    /// <param name="path">The file to read.</param>
    /// <param name="output">Receives UTF-8 JSON. Nothing is written unless the whole file could be scored.</param>
    /// <exception cref="DataFormatException">The file is not of that form; the message names metric and entry.</exception>
    public static void Score(string path, Stream output)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(output);
        using var buffer = new MemoryStream();
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(path));
            using var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
            Write(document.RootElement, path, writer);
        }
        catch (JsonException error)
        {
            throw new DataFormatException(path, (int)(error.LineNumber ?? -1) + 1, $"not JSON: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataFormatException(path, 0, $"cannot be read: {error.Message}", error);
        }

        buffer.WriteTo(output);
    }

    private static void Write(JsonElement root, string path, Utf8JsonWriter writer)
    {
        Require(root.ValueKind == JsonValueKind.Object, path, $"expected an object of metric name to entries, found {root.ValueKind}.");
        writer.WriteStartObject();
        foreach (JsonProperty list in root.EnumerateObject())
        {
            Metric metric = Metric.All.FirstOrDefault(known => known.Name == list.Name)
                ?? throw new DataFormatException(path, 0, $"metric '{list.Name}' is unknown, expected one of {string.Join(", ", Metric.All)}.");
            Require(list.Value.ValueKind == JsonValueKind.Array, path, $"'{list.Name}' is not a list of entries.");
            writer.WriteStartArray(list.Name);
            int index = 0;
            foreach (JsonElement entry in list.Value.EnumerateArray())
            {
                WriteEntry(entry, metric, $"'{list.Name}', entry {index++}", path, writer);
            }

            writer.WriteEndArray();
        }

        writer.WriteEndObject();
    }

    private static void WriteEntry(JsonElement entry, Metric metric, string where, string path, Utf8JsonWriter writer)
    {
        Require(entry.ValueKind == JsonValueKind.Object, path, $"{where}: expected an object, found {entry.ValueKind}.");
        string prediction = Text("prediction");
        string truth = Text("ground_truth");
        List<string> classes = [];
        if (entry.TryGetProperty("all_classes", out JsonElement names) && names.ValueKind != JsonValueKind.Null)
        {
            Require(names.ValueKind == JsonValueKind.Array && names.EnumerateArray().All(name => name.ValueKind == JsonValueKind.String), path, $"{where}: 'all_classes' is not a list of strings.");
            classes.AddRange(names.EnumerateArray().Select(name => name.GetString()!));
        }

        double score;
        try
        {
            score = metric.Score(prediction, truth, classes);
        }
        catch (InvalidOptionException error)
        {
            throw new DataFormatException(path, 0, $"{where}: {error.Message}", error);
        }

        writer.WriteStartObject();
        foreach (JsonProperty field in entry.EnumerateObject().Where(field => !field.NameEquals("score")))
        {
            field.WriteTo(writer);
        }

        writer.WriteNumber("score", score);
        writer.WriteEndObject();

        string Text(string field)
        {
            Require(entry.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.String, path, $"{where}: the string '{field}' is missing.");
            return value.GetString()!;
        }
    }

    private static void Require(bool holds, string path, string problem)
    {
        if (!holds)
        {
            throw new DataFormatException(path, 0, problem);
        }
    }
}
