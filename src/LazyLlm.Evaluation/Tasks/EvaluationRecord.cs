using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Tasks;

/// <summary>One line of a task's jsonl file.</summary>
public sealed class EvaluationRecord
{
    private readonly Dictionary<string, string> _fields;

    private EvaluationRecord(Dictionary<string, string> fields, string path, int line)
    {
        _fields = fields;
        Path = path;
        Line = line;
    }

    /// <summary>The file it stands in.</summary>
    public string Path { get; }

    /// <summary>Its line, from 1.</summary>
    public int Line { get; }

    /// <summary>The question or instruction (<c>input</c>); may be empty.</summary>
    public string Input => _fields["input"];

    /// <summary>The document (<c>context</c>).</summary>
    public string Context => _fields["context"];

    /// <summary>The answers, each of which is right (<c>answers</c>).</summary>
    public required IReadOnlyList<string> Answers { get; init; }

    /// <summary>Names of all classes where the task is to classify (<c>all_classes</c>), else empty.</summary>
    public IReadOnlyList<string> AllClasses { get; init; } = [];

    /// <summary>The record's own name (<c>_id</c>), if it has one.</summary>
    public string? Id => _fields.GetValueOrDefault("_id");

    /// <summary>Reads the records of a file one by one. Empty lines are passed over.</summary>
    /// <exception cref="DataFormatException">The file cannot be read, or a line is not a record; names file and line.</exception>
    public static IEnumerable<EvaluationRecord> ReadFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        foreach ((int number, string text) in JsonLines.Read(path))
        {
            yield return JsonLines.Parse(path, number, text, root => FromJson(root, path, number));
        }
    }

    /// <summary>A field's text for a prompt template: strings as they are, numbers as written; null where it is neither or absent.</summary>
    public string? Field(string name) => _fields.GetValueOrDefault(name);

    private static EvaluationRecord FromJson(JsonElement root, string path, int line)
    {
        JsonLines.Require(root.ValueKind == JsonValueKind.Object, path, line, $"expected an object, found {root.ValueKind}.");
        var fields = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (JsonProperty field in root.EnumerateObject())
        {
            if (field.Value.ValueKind is JsonValueKind.String)
            {
                fields[field.Name] = field.Value.GetString()!;
            }
            else if (field.Value.ValueKind is JsonValueKind.Number)
            {
                fields[field.Name] = field.Value.GetRawText();
            }
        }

        foreach (string needed in (string[])["input", "context"])
        {
            JsonLines.Require(root.TryGetProperty(needed, out JsonElement text) && text.ValueKind == JsonValueKind.String, path, line, $"the string '{needed}' is missing.");
        }

        IReadOnlyList<string>? answers = JsonLines.Strings(root, "answers", path, line);
        JsonLines.Require(answers is { Count: > 0 }, path, line, "the list 'answers' is missing or empty.");
        return new EvaluationRecord(fields, path, line)
        {
            Answers = answers!,
            AllClasses = JsonLines.Strings(root, "all_classes", path, line) ?? [],
        };
    }
}
