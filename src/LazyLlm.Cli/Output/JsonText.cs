using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Output;

/// <summary>Machine-readable results: one JSON document per run.</summary>
internal static class JsonText
{
    /// <summary>Writes one document, on a line of its own where it is not indented.</summary>
    public static void Write(TextWriter output, Action<Utf8JsonWriter> write, bool indented = true)
    {
        using var bytes = new MemoryStream();
        var options = new JsonWriterOptions { Indented = indented, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(bytes, options))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        output.WriteLine(Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length));
    }

    /// <summary>Writes an array of numbers.</summary>
    public static void WriteNumbers(this Utf8JsonWriter json, string name, IEnumerable<int> numbers)
    {
        json.WriteStartArray(name);
        foreach (int number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }

    /// <summary>Writes milliseconds, to the microsecond.</summary>
    public static void WriteMilliseconds(this Utf8JsonWriter json, string name, TimeSpan time) =>
        json.WriteNumber(name, Math.Round(time.TotalMilliseconds, 3));

    /// <summary>Writes the pairs of a plan as <c>[[layer, keep], ...]</c>; none for the dense model.</summary>
    public static void WriteStages(this Utf8JsonWriter json, StagePlan plan)
    {
        json.WriteStartArray("stages");
        foreach (Stage stage in plan.Stages.AsSpan()[1..])
        {
            json.WriteStartArray();
            json.WriteNumberValue(stage.FirstLayer);
            json.WriteRawValue(stage.Keep.ToString("R", CultureInfo.InvariantCulture));
            json.WriteEndArray();
        }

        json.WriteEndArray();
    }

    /// <summary>Writes the figures of a run.</summary>
    public static void WriteStatistics(this Utf8JsonWriter json, string name, RunStatistics run)
    {
        json.WriteStartObject(name);
        json.WriteMilliseconds("time_to_first_token_ms", run.TimeToFirstToken);
        json.WriteMilliseconds("time_per_output_token_ms", run.TimePerOutputToken);
        json.WriteMilliseconds("total_ms", run.TotalTime);
        json.WriteNumber("prompt_tokens", run.PromptTokens);
        json.WriteNumber("generated_tokens", run.GeneratedTokens);
        json.WriteNumber("context_tokens", run.ContextTokens);
        json.WriteNumber("computed_pairs", run.ComputedPairs);
        json.WriteNumber("dense_pairs", run.DensePairs);
        json.WriteNumber("computed_share", Math.Round(run.ComputedShare, 6));
        json.WriteNumber("kv_bytes", run.KeyValueBytes);
        json.WriteNumber("dense_kv_bytes", run.DenseKeyValueBytes);
        json.WriteNumber("aux_bytes", run.AuxBytes);
        json.WriteStartArray("stages");
        foreach (StageStatistics stage in run.Stages)
        {
            json.WriteStartObject();
            json.WriteNumber("first_layer", stage.Stage.FirstLayer);
            json.WriteNumber("end_layer", stage.Stage.EndLayer);
            json.WriteNumber("keep", stage.Stage.Keep);
            json.WriteNumber("computed", stage.Computed);
            json.WriteNumber("revived", stage.Revived);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
