using System.Text.Json;
using LazyLlm.Evaluation;

namespace LazyLlm.Bench;

/// <summary>What a benchmark measured, by name, round after round.</summary>
internal sealed class Samples
{
    private readonly Dictionary<string, List<double>> _samples = [];

    /// <summary>Adds a figure.</summary>
    public void Note(string name, double value)
    {
        if (!_samples.TryGetValue(name, out List<double>? samples))
        {
            _samples[name] = samples = [];
        }

        samples.Add(value);
    }

    /// <summary>The figure of that name noted last.</summary>
    public double Latest(string name) => _samples[name][^1];

    /// <summary>Forgets everything: what came so far was the warm-up.</summary>
    public void Clear() => _samples.Clear();

    /// <summary>Prints the medians in the order in which their names came first, and writes them to a JSON file.</summary>
    public void Report(string json)
    {
        var medians = _samples.ToDictionary(s => s.Key, s => Median.Of(s.Value));
        foreach ((string name, double value) in medians)
        {
            Console.WriteLine($"{name,-52} {value,12:G5}");
        }

        File.WriteAllText(json, JsonSerializer.Serialize(medians, JsonSerializerOptions.Default));
    }
}
