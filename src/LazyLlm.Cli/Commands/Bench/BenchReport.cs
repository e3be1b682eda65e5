using System.Globalization;
using System.Text.Json;
using LazyLlm.Cli.Output;
using LazyLlm.Evaluation.Reports;
using LazyLlm.Evaluation.Speed;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Bench;

/// <summary>What <c>lazyllm bench</c> shows: a table for single sequences, one for several at a time, and the same as JSON.</summary>
internal sealed class BenchReport(string command, string? shape, LlamaEngine engine, SpeedOptions options, IReadOnlyList<SpeedResult> results)
{
    /// <summary>Writes the tables.</summary>
    public void WriteTables(TextWriter output)
    {
        string model = shape is null ? Path.GetFileName(engine.Folder.Path) : $"random weights in the shape of {shape}";
        output.WriteLine($"{model}: {engine.Config.LayerCount} layers, {Units.Magnitude(engine.Folder.ParameterCount)} parameters, on {engine.DeviceName}");
        SpeedResult[] single = [.. results.Where(result => result.Case.Batch == 1)];
        if (single.Length > 0)
        {
            output.WriteLine();
            WriteSingle(output, single);
        }

        SpeedResult[] several = [.. results.Where(result => result.Case.Batch > 1)];
        if (several.Length > 0)
        {
            output.WriteLine();
            WriteSeveral(output, several);
        }

        output.WriteLine();
        output.WriteLine($"Prompts of random tokens. Medians of {Rounds(options.Rounds)} after {Rounds(options.WarmUps)} to warm up, the schedules in turns within each.");
        if (single.Length > 0)
        {
            output.WriteLine("speed-up: against dense in the same round, of the first token and of those after it. counted: what the");
            output.WriteLine("operations of products and attention promise; reached: speed-up over counted. Pairs, K/V, Aux: up to the first token.");
        }
    }

    /// <summary>Writes everything that was measured.</summary>
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject("run");
        foreach ((string name, string value) in RunFacts.Collect(command, engine, engine.Folder.Identity).Facts)
        {
            json.WriteString(name.Replace(' ', '_').Replace('-', '_').ToLowerInvariant(), value);
        }

        json.WriteEndObject();
        json.WriteString("model", shape is null ? engine.Folder.Path : null);
        json.WriteString("shape", shape);
        json.WriteString("device", engine.DeviceName);
        json.WriteNumber("layers", engine.Config.LayerCount);
        json.WriteNumber("parameters", engine.Folder.ParameterCount);
        json.WriteNumber("weight_bytes", engine.WeightBytes);
        json.WriteNumber("rounds", options.Rounds);
        json.WriteNumber("warm_up_rounds", options.WarmUps);
        json.WriteNumber("decoded_tokens", options.DecodeTokens);
        json.WriteStartArray("results");
        foreach (SpeedResult result in results)
        {
            json.WriteStartObject();
            WriteResult(json, result);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteResult(Utf8JsonWriter json, SpeedResult result)
    {
        RunStatistics counts = result.Counts;
        json.WriteNumber("batch", result.Case.Batch);
        json.WriteNumber("length", result.Case.Length);
        json.WriteString("schedule", result.Case.Schedule.ToString());
        json.WriteMilliseconds("first_token_ms", result.FirstToken);
        json.WriteMilliseconds("last_first_token_ms", result.LastFirstToken);
        json.WriteMilliseconds("per_token_ms", result.PerToken);
        json.WriteMilliseconds("total_ms", result.Total);
        json.WriteNumber("prompt_tokens_per_second", Rounded(result.Case.Length / result.FirstToken.TotalSeconds));
        json.WriteNumber("generated_tokens_per_second", Rounded(result.TokensPerSecond));
        WriteRatio(json, "speed_up", result.Speedup);
        WriteRatio(json, "predicted_speed_up", result.PredictedSpeedup);
        WriteRatio(json, "reached_share", result.ReachedShare);
        WriteRatio(json, "decode_speed_up", result.DecodeSpeedup);
        WriteRatio(json, "total_speed_up", result.TotalSpeedup);
        json.WriteNumber("computed_pairs", counts.ComputedPairs);
        json.WriteNumber("dense_pairs", counts.DensePairs);
        json.WriteNumber("kv_bytes", counts.KeyValueBytes);
        json.WriteNumber("dense_kv_bytes", counts.DenseKeyValueBytes);
        json.WriteNumber("aux_bytes", counts.AuxBytes);
        json.WriteStartArray("rounds");
        foreach (SpeedSample sample in result.Samples)
        {
            json.WriteStartObject();
            json.WriteMilliseconds("first_token_ms", sample.FirstToken);
            json.WriteMilliseconds("per_token_ms", sample.PerToken);
            json.WriteMilliseconds("total_ms", sample.Total);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteRatio(Utf8JsonWriter json, string name, double ratio)
    {
        if (double.IsFinite(ratio))
        {
            json.WriteNumber(name, Math.Round(ratio, 4));
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static double Rounded(double value) => Math.Round(value, 2);

    private static string Rounds(int count) => count == 1 ? "1 round" : $"{Units.Count(count)} rounds";

    private static string PerSecond(double rate) => rate.ToString(rate < 100 ? "0.0" : "N0", CultureInfo.InvariantCulture);

    private static void WriteSingle(TextWriter output, SpeedResult[] results)
    {
        var table = new TextTable();
        table.Add("schedule", "first token", "speed-up", "counted", "reached", "pairs", "K/V", "Aux", "per token", "tokens/s", "speed-up");
        foreach (IGrouping<int, SpeedResult> group in results.GroupBy(result => result.Case.Length))
        {
            table.AddRule();
            table.Add($"{Units.Count(group.Key)} prompt tokens");
            foreach (SpeedResult result in group)
            {
                bool isDense = result.Counts.Stages.Length == 1;
                bool hasDecoded = result.PerToken > TimeSpan.Zero;
                table.Add(
                    $"  {NameOf(result)}",
                    Units.Time(result.FirstToken),
                    isDense ? "" : Units.Ratio(result.Speedup),
                    isDense ? "" : Units.Ratio(result.PredictedSpeedup),
                    isDense ? "" : Units.Share(result.ReachedShare),
                    Units.Count(result.Counts.ComputedPairs),
                    Units.Bytes(result.Counts.KeyValueBytes),
                    isDense ? "-" : Units.Bytes(result.Counts.AuxBytes),
                    hasDecoded ? Units.Time(result.PerToken) : "-",
                    hasDecoded ? PerSecond(1 / result.PerToken.TotalSeconds) : "-",
                    isDense ? "" : hasDecoded ? Units.Ratio(result.DecodeSpeedup) : "-");
            }
        }

        table.WriteTo(output);
    }

    private static void WriteSeveral(TextWriter output, SpeedResult[] results)
    {
        var table = new TextTable();
        table.Add("schedule", "first token", "the last one's", "per token", "all done", "tokens/s of all", "speed-up");
        foreach (var group in results.GroupBy(result => (result.Case.Batch, result.Case.Length)))
        {
            table.AddRule();
            table.Add($"{Units.Count(group.Key.Batch)} sequences at a time, {Units.Count(group.Key.Length)} prompt tokens each");
            foreach (SpeedResult result in group)
            {
                table.Add(
                    $"  {NameOf(result)}",
                    Units.Time(result.FirstToken),
                    Units.Time(result.LastFirstToken),
                    result.PerToken > TimeSpan.Zero ? Units.Time(result.PerToken) : "-",
                    Units.Time(result.Total),
                    PerSecond(result.TokensPerSecond),
                    result.Counts.Stages.Length == 1 ? "" : Units.Ratio(result.TotalSpeedup));
            }
        }

        table.WriteTo(output);
    }

    private static string NameOf(SpeedResult result)
    {
        string name = result.Case.Schedule.ToString();
        return name == "none" ? "dense" : name.Length > 24 ? $"{name[..23]}…" : name;
    }
}
