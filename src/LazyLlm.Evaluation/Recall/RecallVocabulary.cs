using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Recall;

/// <summary>
/// The words and sentence forms of a recall task: what <c>recall-task.json</c> beside a model says.
/// Forms hold slots in braces: <c>{name} keeps the {object} in the {place}.</c>
/// </summary>
internal sealed class RecallVocabulary
{
    /// <summary>Which list of words fills which slot.</summary>
    private static readonly (string Slot, string List)[] Slots =
    [
        ("name", "names"), ("object", "objects"), ("place", "places"), ("adjective", "adjectives"),
        ("animal", "animals"), ("verb", "verbs"), ("time", "times"), ("weather", "weather"),
    ];

    private readonly Dictionary<string, string[]> _words = [];

    private RecallVocabulary(JsonElement root, string path)
    {
        foreach ((string slot, string list) in Slots)
        {
            _words[slot] = Strings(root, list, path);
        }

        Fact = Form(root, "fact", path);
        Question = Form(root, "question", path);
        Fillers = Strings(root, "fillers", path);
        RequireSlots(Fact, "fact", ["name", "object", "place"], path);
        RequireSlots(Question, "question", ["name", "object"], path);
        string answer = Form(root, "answer", path);
        RequireSlots(answer, "answer", ["place"], path);
        AnswerLead = answer[..answer.IndexOf("{place}", StringComparison.Ordinal)].TrimEnd();
        if (Names.Count < 2 || Objects.Count < 2 || Places.Count < 2)
        {
            throw new ModelFormatException(path, "'names', 'objects' and 'places' need two words each at least, or no question could be wrong.");
        }

        RecommendedSchedule = root.TryGetProperty("recommended_schedule", out JsonElement schedule) ? schedule.GetString() : null;
    }

    public IReadOnlyList<string> Names => _words["name"];

    public IReadOnlyList<string> Objects => _words["object"];

    public IReadOnlyList<string> Places => _words["place"];

    /// <summary>The form of a fact, with the slots name, object and place.</summary>
    public string Fact { get; }

    /// <summary>The form of a question, with the slots name and object.</summary>
    public string Question { get; }

    /// <summary>The words that stand before an answer: <c>Answer:</c>.</summary>
    public string AnswerLead { get; }

    public IReadOnlyList<string> Fillers { get; }

    public string? RecommendedSchedule { get; }

    /// <summary>Reads the file.</summary>
    /// <exception cref="ModelFormatException">The file is missing, not JSON, or lacks a list or form.</exception>
    public static RecallVocabulary Load(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            return new RecallVocabulary(document.RootElement, path);
        }
        catch (JsonException error)
        {
            throw new ModelFormatException(path, $"not the JSON of a recall task: {error.Message}", error);
        }
        catch (InvalidOperationException error)
        {
            throw new ModelFormatException(path, $"a field has the wrong type: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException(path, $"cannot be read: {error.Message}", error);
        }
    }

    /// <summary>A form with each slot filled by a word of its list; a slot that occurs twice gets two choices.</summary>
    public string FillAtRandom(string form, SplitMix64 random)
    {
        while (form.IndexOf('{', StringComparison.Ordinal) is int open and >= 0)
        {
            int close = form.IndexOf('}', open);
            form = $"{form[..open]}{random.Pick(_words[form[(open + 1)..close]])}{form[(close + 1)..]}";
        }

        return form;
    }

    private static string Form(JsonElement root, string field, string path)
        => root.TryGetProperty(field, out JsonElement form) && form.GetString() is { Length: > 0 } text
            ? text
            : throw new ModelFormatException(path, $"the sentence form '{field}' is missing.");

    private static void RequireSlots(string form, string field, string[] slots, string path)
    {
        foreach (string slot in slots)
        {
            if (form.Split($"{{{slot}}}").Length != 2)
            {
                throw new ModelFormatException(path, $"the form '{field}' must hold {{{slot}}} once, but is '{form}'.");
            }
        }
    }

    private static string[] Strings(JsonElement root, string field, string path)
    {
        if (!root.TryGetProperty(field, out JsonElement list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
        {
            throw new ModelFormatException(path, $"the list '{field}' is missing or empty.");
        }

        string[] entries = [.. list.EnumerateArray().Select(entry => entry.GetString() ?? "")];
        foreach (string entry in entries)
        {
            RequireKnownSlots(entry, field, path);
        }

        return entries;
    }

    private static void RequireKnownSlots(string text, string field, string path)
    {
        for (int open = text.IndexOf('{', StringComparison.Ordinal); open >= 0; open = text.IndexOf('{', open + 1))
        {
            int close = text.IndexOf('}', open);
            if (close < 0 || !Slots.Any(slot => text.AsSpan(open + 1, close - open - 1).SequenceEqual(slot.Slot)))
            {
                throw new ModelFormatException(path, $"'{text}' in '{field}' has a slot that no list fills; expected one of {string.Join(", ", Slots.Select(slot => $"{{{slot.Slot}}}"))}.");
            }
        }
    }
}
