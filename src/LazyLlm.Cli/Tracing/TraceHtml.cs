using System.Globalization;
using System.Net;
using System.Text;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Tracing;

/// <summary>
/// A trace as one self-contained page: the text's own words, shaded by the last stage that kept them, step by step.
/// Without scripts it shows the first step.
/// </summary>
internal static class TraceHtml
{
    private const string Digits = "0123456789abcdefghijklmnopqrstuvwxyz";

    /// <summary>Writes the page.</summary>
    public static void Write(TextWriter output, PruningTrace trace)
    {
        string page = Template();
        int marker = page.IndexOf("<!--content-->", StringComparison.Ordinal);
        output.Write(page.AsSpan(0, marker));
        WriteContent(output, trace);
        output.Write(page.AsSpan(marker + "<!--content-->".Length));
    }

    private static void WriteContent(TextWriter output, PruningTrace trace)
    {
        PruningTraceStep first = trace.Steps[0];
        output.Write($"""
            <header>
            <h1>What {Encode(trace.Model)} looks at</h1>
            <p>A prompt of {Units.Count(trace.PromptLength)} tokens under the pruning schedule <code>{Encode(trace.Schedule.ToString())}</code>, {trace.Plan.LayerCount} layers in {trace.Plan.Stages.Length} {(trace.Plan.Stages.Length == 1 ? "stage" : "stages")}. Each token is shaded by the last stage that kept it in this step. A stage keeps the tokens that the newest one pays most attention to; a pruned token is not lost, and a later step may revive it.</p>
            </header>
            <nav>
            <button id="back" aria-label="step before">◀</button>
            <input id="step" type="range" min="0" max="{trace.Steps.Count - 1}" value="0" aria-label="step">
            <button id="on" aria-label="next step">▶</button>
            <output id="what">step 0: the prompt</output>
            </nav>
            <table id="stages">
            <thead><tr><th>stage</th><th>layers</th><th colspan="2">positions kept</th><th>rows computed</th><th>revived</th></tr></thead>
            <tbody>

            """);
        foreach (StageTrace stage in first.Trace.Stages)
        {
            int index = stage.Stage.Index;
            output.Write($"""<tr><td><span class="token key" style="--level:{LevelOf(index, trace.Plan)}">{index}</span></td><td>{Layers(stage.Stage)}</td><td class="n kept">{stage.Kept.Length}</td><td class="share"><i style="--level:{LevelOf(index, trace.Plan)};width:{Percent(stage.Kept.Length, first.Length)}%"></i></td><td class="n computed">{stage.Computed}</td><td class="n revivals">{stage.Revived}</td></tr>""");
            output.Write('\n');
        }

        output.Write("</tbody>\n</table>\n<p class=\"note\"><span class=\"revived key\">underlined</span> tokens were pruned before and revived in this step. Hover over a token for its position.</p>\n<main id=\"text\">");
        string[] texts = trace.TokenTexts();
        for (int position = 0; position < texts.Length; position++)
        {
            string kind = position >= trace.PromptLength ? "token answer\" hidden" : "token\"";
            int stage = position < first.Length ? first.LastStageOf(position) : 0;
            output.Write($"""<span class="{kind} style="--level:{LevelOf(stage, trace.Plan)}">{Encode(texts[position])}</span>""");
        }

        output.Write("</main>\n<script id=\"data\" type=\"application/json\">");
        JsonText.Write(output, json =>
        {
            json.WriteStartArray("levels");
            foreach (Stage stage in trace.Plan.Stages)
            {
                json.WriteRawValue(LevelOf(stage.Index, trace.Plan));
            }

            json.WriteEndArray();
            json.WriteStartArray("layers");
            foreach (Stage stage in trace.Plan.Stages)
            {
                json.WriteStringValue(Layers(stage));
            }

            json.WriteEndArray();
            json.WriteStartArray("steps");
            foreach (PruningTraceStep step in trace.Steps)
            {
                json.WriteStartObject();
                json.WriteString("last", LastStages(step));
                json.WriteNumbers("revived", step.Revived);
                json.WriteNumbers("kept", step.Trace.Stages.Select(stage => stage.Kept.Length));
                json.WriteNumbers("computed", step.Trace.Stages.Select(stage => stage.Computed));
                json.WriteNumbers("revivals", step.Trace.Stages.Select(stage => stage.Revived));
                json.WriteString("token", InScript(trace.TextOf(step.Token)));
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }, indented: false);
        output.Write("</script>\n");
    }

    /// <summary>One digit per position: the last stage that kept it. Stages beyond the digits show as the last digit.</summary>
    private static string LastStages(PruningTraceStep step)
    {
        var digits = new StringBuilder(step.Length);
        for (int position = 0; position < step.Length; position++)
        {
            digits.Append(Digits[Math.Min(step.LastStageOf(position), Digits.Length - 1)]);
        }

        return digits.ToString();
    }

    private static string LevelOf(int stage, StagePlan plan)
    {
        int last = plan.Stages.Length - 1;
        return (last == 0 ? 1 : (double)stage / last).ToString("0.###", CultureInfo.InvariantCulture);
    }

    private static string Layers(Stage stage) => stage.LayerCount == 1 ? $"{stage.FirstLayer}" : $"{stage.FirstLayer}–{stage.EndLayer - 1}";

    private static string Percent(int part, int whole) => (100.0 * part / whole).ToString("0.#", CultureInfo.InvariantCulture);

    private static string Encode(string text) => WebUtility.HtmlEncode(text);

    /// <summary>A text that cannot end the script element around it.</summary>
    private static string InScript(string text) => text.Replace('<', '‹');

    private static string Template()
    {
        // The style of tokens is the monitor page's too.
        return Resource("trace.html").Replace("/*tokens*/\n", Resource("tokens.css"), StringComparison.Ordinal);

        static string Resource(string name)
        {
            using Stream stream = typeof(TraceHtml).Assembly.GetManifestResourceStream(name)!;
            using var reader = new StreamReader(stream);
            return reader.ReadToEnd();
        }
    }
}
