using System.Text.Json;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.LongBench;

/// <summary>The benchmark's own <c>config/</c> folder: prompts, generation limits and prompt limits.</summary>
public sealed class LongBenchConfig
{
    private readonly string _promptFile;
    private readonly string _lengthFile;
    private readonly string _modelFile;
    private readonly Dictionary<string, JsonElement> _prompts;
    private readonly Dictionary<string, JsonElement> _lengths;
    private readonly Dictionary<string, JsonElement> _models;

    private LongBenchConfig(string folder)
    {
        _promptFile = Path.Combine(folder, "dataset2prompt.json");
        _lengthFile = Path.Combine(folder, "dataset2maxlen.json");
        _modelFile = Path.Combine(folder, "model2maxlen.json");
        _prompts = ReadMap(_promptFile);
        _lengths = ReadMap(_lengthFile);
        _models = File.Exists(_modelFile) ? ReadMap(_modelFile) : [];
    }

    /// <summary>Reads the folder. <c>model2maxlen.json</c> may be missing.</summary>
    /// <exception cref="DataFormatException">A file is missing or not an object.</exception>
    public static LongBenchConfig Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return new LongBenchConfig(folder);
    }

    /// <summary>The dataset's prompt.</summary>
    /// <exception cref="DataFormatException">It is missing or not a template.</exception>
    public PromptTemplate TemplateOf(LongBenchDataset dataset)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        return _prompts.TryGetValue(dataset.Name, out JsonElement prompt) && prompt.ValueKind == JsonValueKind.String
            ? new PromptTemplate(prompt.GetString()!, _promptFile)
            : throw new DataFormatException(_promptFile, 0, $"has no prompt for '{dataset.Name}'.");
    }

    /// <summary>Most tokens to generate for the dataset.</summary>
    /// <exception cref="DataFormatException">It is missing or not a positive number.</exception>
    public int GenerationLimitOf(LongBenchDataset dataset)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        return Positive(_lengths, dataset.Name, _lengthFile);
    }

    /// <summary>Most prompt tokens for a model of the benchmark's list, such as <c>llama2-7b-chat-4k</c>.</summary>
    /// <exception cref="DataFormatException">The list does not hold it.</exception>
    public int PromptLimitOf(string model) => Positive(_models, model, _modelFile);

    private static int Positive(Dictionary<string, JsonElement> map, string key, string file)
        => map.TryGetValue(key, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number > 0
            ? number
            : throw new DataFormatException(file, 0, $"has no positive number for '{key}'. It names {string.Join(", ", map.Keys)}.");

    private static Dictionary<string, JsonElement> ReadMap(string file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            JsonLines.Require(document.RootElement.ValueKind == JsonValueKind.Object, file, 0, $"expected an object, found {document.RootElement.ValueKind}.");
            return document.RootElement.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.Clone(), StringComparer.Ordinal);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException)
        {
            throw new DataFormatException(file, 0, $"not the benchmark's configuration: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataFormatException(file, 0, $"cannot be read: {error.Message} Give the benchmark's own 'config' folder.", error);
        }
    }
}
