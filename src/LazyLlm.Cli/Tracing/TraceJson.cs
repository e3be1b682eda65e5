using System.Globalization;
using System.Text.Json;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Tracing;

/// <summary>
/// The form in which traces are compared with those of other implementations: <c>model</c>, <c>prompt</c> (ids),
/// <c>stages</c> ([layer, keep]), per step <c>kept</c> (a stage's first layer -> positions), <c>computed</c> (rows per
/// layer), <c>token</c> (greedy) and <c>logits</c>, and at the end <c>frontier</c> (layers computed per position).
/// </summary>
internal static class TraceJson
{
    /// <summary>Writes a trace as one line.</summary>
    public static void Write(TextWriter output, PruningTrace trace) => JsonText.Write(output, json => Write(json, trace), indented: false);

    private static void Write(Utf8JsonWriter json, PruningTrace trace)
    {
        json.WriteString("model", trace.Model);
        json.WriteNumbers("prompt", trace.Tokens.Take(trace.PromptLength));
        json.WriteStages(trace.Plan);
        json.WriteStartArray("steps");
        foreach (PruningTraceStep step in trace.Steps)
        {
            json.WriteStartObject();
            json.WriteStartObject("kept");
            foreach (StageTrace stage in step.Trace.Stages.AsSpan()[1..])
            {
                json.WriteNumbers(stage.Stage.FirstLayer.ToString(CultureInfo.InvariantCulture), stage.Kept);
            }

            json.WriteEndObject();
            json.WriteNumbers("computed", step.Trace.Stages.SelectMany(stage => Enumerable.Repeat(stage.Computed, stage.Stage.LayerCount)));
            json.WriteNumber("token", step.Token);
            json.WriteStartArray("logits");
            foreach (float logit in step.Logits)
            {
                // A token that cannot come has the logit -infinity, which JSON has no number for.
                json.WriteRawValue(float.IsFinite(logit) ? logit.ToString("G7", CultureInfo.InvariantCulture) : "null");
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumbers("frontier", trace.Frontier());
    }
}
