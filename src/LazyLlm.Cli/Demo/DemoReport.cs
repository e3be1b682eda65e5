using System.Text.Json;
using LazyLlm.Cli.Output;
using LazyLlm.Cli.Tracing;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using Spectre.Console;

namespace LazyLlm.Cli.Demo;

/// <summary>What the demo shows: the table side by side, the same as JSON, and the words that the pruned layers saw.</summary>
internal sealed class DemoReport(LlamaEngine engine, RecallDocument document, DemoSide dense, DemoSide lazy, int runs)
{
    private const int LongestShown = 10;

    private readonly RecallQuestion[] _questions = [.. DemoRun.QuestionsOf(document)];

    /// <summary>Writes the table.</summary>
    public void WriteTable(TextWriter output)
    {
        string opening = document.Text.Length <= 50 ? document.Text : $"{document.Text[..document.Text.LastIndexOf(' ', 50)]} …";
        output.WriteLine($"Model     {Path.GetFileName(engine.Folder.Path)}: {engine.Config.LayerCount} layers, {Units.Magnitude(engine.Folder.ParameterCount)} parameters, on {engine.DeviceName}");
        output.WriteLine($"Document  {Units.Count(document.Text.Length)} characters: {opening}");
        output.WriteLine($"Schedule  {lazy.Schedule}: {ScheduleInWords(lazy.Run.Plan)}");
        output.WriteLine();
        var table = new TextTable();
        table.Add("", "dense", "LazyLLM", "");
        for (int turn = 0; turn < _questions.Length; turn++)
        {
            table.AddRule();
            AddTurn(table, turn);
        }

        table.WriteTo(output);
        output.WriteLine();
        output.WriteLine(runs == 1
            ? "Times: one run each, after one of each that only warmed up the code."
            : $"Times: median of {runs} runs each, after one of each that only warmed up the code.");
        output.WriteLine("Counts are those of the step up to the first token.");
    }

    /// <summary>Writes the figures as JSON.</summary>
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteString("model", engine.Folder.Path);
        json.WriteString("device", engine.DeviceName);
        json.WriteString("document", document.Text);
        json.WriteNumber("timed_runs", runs);
        json.WriteStartArray("questions");
        foreach (RecallQuestion question in _questions)
        {
            json.WriteStartObject();
            json.WriteString("text", question.Text);
            json.WriteString("answer", question.Answer);
            json.WriteString("fact", question.Fact);
            json.WriteNumber("depth", Math.Round(question.Depth, 4));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        foreach ((string name, DemoSide side) in new[] { ("dense", dense), ("lazyllm", lazy) })
        {
            json.WriteStartObject(name);
            json.WriteString("schedule", side.Schedule.ToString());
            json.WriteStartArray("turns");
            for (int turn = 0; turn < _questions.Length; turn++)
            {
                json.WriteStartObject();
                json.WriteString("answer", side.Run.Turns[turn].Answer);
                json.WriteBoolean("right", side.Run.Turns[turn].IsRight);
                json.WriteMilliseconds("median_time_to_first_token_ms", side.TimeToFirstToken(turn));
                json.WriteStatistics("prefill", side.Run.Turns[turn].Prefill);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }
    }

    /// <summary>Draws which positions went past the first pruning point for the question, and which came back for the follow-up.</summary>
    public static void Draw(IAnsiConsole console, DemoRun traced)
    {
        if (traced.Plan.Stages.Length == 1)
        {
            return;
        }

        PruningTraceStep question = traced.Turns[0].Trace!;
        HashSet<int> revived = traced.Turns.Count > 1 ? [.. traced.Turns[1].Trace!.Revived] : [];
        int length = traced.Turns[^1].Trace!.Length;
        Stage second = traced.Plan.Stages[1];
        console.WriteLine($"The {Units.Count(length)} positions from layer {second.FirstLayer} on:");
        SurvivalMap.DrawKey(console, 0, "only layers before it computed these");
        SurvivalMap.DrawKey(console, 1, "kept for the question, or new since");
        if (traced.Turns.Count > 1)
        {
            SurvivalMap.DrawKey(console, 0.5, $"pruned by the question, revived by the follow-up ({Units.Count(revived.Count)})");
        }

        console.WriteLine();
        SurvivalMap.DrawCells(console, length, position =>
            revived.Contains(position) ? 0.5 : position >= question.Length || question.LastStageOf(position) > 0 ? 1 : 0);
    }

    private static string ScheduleInWords(StagePlan plan) => plan.Stages.Length == 1
        ? "every layer sees every position"
        : string.Join(", ", plan.Stages.AsSpan()[1..].ToArray().Select(stage => $"{Units.Share(stage.Keep)} of the positions from layer {stage.FirstLayer} on"));

    private void AddTurn(TextTable table, int turn)
    {
        DemoTurn left = dense.Run.Turns[turn];
        DemoTurn right = lazy.Run.Turns[turn];
        table.Add($"{(turn == 0 ? "" : "Then, in the same session: ")}{_questions[turn].Text}");
        table.Add("  answer", Judged(left), Judged(right));
        (TimeSpan denseTime, TimeSpan lazyTime) = (dense.TimeToFirstToken(turn), lazy.TimeToFirstToken(turn));
        table.Add("  time to first token", Units.Time(denseTime), Units.Time(lazyTime), $"{Units.Ratio(denseTime / lazyTime)} speed");
        foreach (StageStatistics stage in right.Prefill.Stages)
        {
            string layers = SurvivalMap.LayersOf(stage.Stage);
            table.Add(
                turn == 0 ? $"  positions in {layers}" : $"  computed in {layers}",
                Units.Count(left.Prefill.Stages[0].Computed),
                Units.Count(stage.Computed),
                turn > 0 && stage.Stage.Index > 0 ? $"{Units.Count(stage.Revived)} revived" : "");
        }

        table.Add("  (token, layer) pairs", Units.Count(left.Prefill.ComputedPairs), Units.Count(right.Prefill.ComputedPairs), $"{Units.Share((double)right.Prefill.ComputedPairs / left.Prefill.ComputedPairs)} of dense");
        table.Add("  K/V memory", Units.Bytes(left.Prefill.KeyValueBytes), Units.Bytes(right.Prefill.KeyValueBytes), $"{Units.Share((double)right.Prefill.KeyValueBytes / left.Prefill.KeyValueBytes)} of dense");
        if (right.Prefill.Stages.Length > 1)
        {
            table.Add("  Aux cache", "-", Units.Bytes(right.Prefill.AuxBytes));
        }
    }

    private static string Judged(DemoTurn turn) => $"{Shortened(PruningTrace.Printable(turn.Answer))}: {(turn.IsRight ? "right" : "wrong")}";

    private static string Shortened(string text) => text.Length > LongestShown ? $"{text[..(LongestShown - 1)]}…" : text;
}
