using LazyLlm.Cli.Output;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using Spectre.Console;

namespace LazyLlm.Cli.Tracing;

/// <summary>
/// Draws in a terminal which tokens survive to which stage. The glyph says it as well as the colour, so that it reads
/// without colour too.
/// </summary>
internal static class SurvivalMap
{
    private const int CellsPerRow = 64;
    private const int MostRows = 20;
    private const int BarWidth = 20;
    private const int ListedSteps = 12;
    private const string Glyphs = "·░▒▓█";

    // Grey for what was pruned first, blue for what came further, orange for what reached the last stage: apart on dark
    // and on light terminals.
    private static readonly Color[] Colors = [Color.FromInt32(245), Color.FromInt32(67), Color.FromInt32(32), Color.FromInt32(27), Color.FromInt32(208)];

    /// <summary>Draws the first step of a trace in full, and a line for each that follows.</summary>
    public static void Draw(IAnsiConsole console, PruningTrace trace)
    {
        PruningTraceStep first = trace.Steps[0];
        DrawStages(console, trace.Plan, first);
        DrawCells(console, trace.Plan, first);
        DrawLastStage(console, trace, first);
        DrawSteps(console, trace);
    }

    private static void DrawStages(IAnsiConsole console, StagePlan plan, PruningTraceStep step)
    {
        int countWidth = Units.Count(step.Length).Length;
        foreach (StageTrace stage in step.Trace.Stages)
        {
            double share = (double)stage.Kept.Length / step.Length;
            int bar = Math.Max(1, (int)Math.Round(share * BarWidth));
            Style style = StyleOf(stage.Stage.Index, plan);
            console.Write(new Text($"  {GlyphOf(stage.Stage.Index, plan)} ", style));
            console.Write(new Text($"{LayersOf(stage.Stage),-13} {Units.Count(stage.Kept.Length).PadLeft(countWidth)} of {Units.Count(step.Length)} positions  {Units.Share(share),4}  "));
            console.Write(new Text(new string('━', bar), style));
            console.WriteLine();
        }

        console.WriteLine();
    }

    private static void DrawCells(IAnsiConsole console, StagePlan plan, PruningTraceStep step)
    {
        // A long prompt has several positions per cell, which shows the one that came furthest.
        int perCell = (step.Length + (CellsPerRow * MostRows) - 1) / (CellsPerRow * MostRows);
        int cells = (step.Length + perCell - 1) / perCell;
        for (int row = 0; row < cells; row += CellsPerRow)
        {
            console.Write(new Text($"{row * perCell,8}  ", new Style(Color.FromInt32(245))));
            for (int cell = row; cell < Math.Min(cells, row + CellsPerRow); cell++)
            {
                int stage = 0;
                for (int position = cell * perCell; position < Math.Min(step.Length, (cell + 1) * perCell); position++)
                {
                    stage = Math.Max(stage, step.LastStageOf(position));
                }

                console.Write(new Text(GlyphOf(stage, plan).ToString(), StyleOf(stage, plan)));
            }

            console.WriteLine();
        }

        string scale = perCell == 1 ? "Each cell is a position" : $"Each cell is {perCell} positions, shown by the one that came furthest";
        console.WriteLine($"          {scale}; its shade is the last stage that kept it.");
        console.WriteLine();
    }

    /// <summary>The words that reached the last stage, with dots for what is missing between them.</summary>
    private static void DrawLastStage(IAnsiConsole console, PruningTrace trace, PruningTraceStep step)
    {
        int lastStage = trace.Plan.Stages.Length - 1;
        if (lastStage == 0)
        {
            return;
        }

        string[] texts = trace.TokenTexts();
        var words = new System.Text.StringBuilder();
        bool wasKept = true;
        for (int position = 0; position < step.Length; position++)
        {
            bool isKept = step.LastStageOf(position) == lastStage;
            words.Append(isKept ? texts[position] : wasKept ? " …" : "");
            wasKept = isKept;
        }

        console.WriteLine($"What the last stage ({LayersOf(trace.Plan.Stages[lastStage])}) sees of the prompt:");
        console.Write(new Padder(new Text(PruningTrace.Printable(words.ToString()).Trim(), StyleOf(lastStage, trace.Plan)), new Padding(2, 0, 2, 0)));
        console.WriteLine();
    }

    private static void DrawSteps(IAnsiConsole console, PruningTrace trace)
    {
        if (trace.Steps.Count < 2)
        {
            return;
        }

        console.WriteLine("step  token              kept per stage              revived positions");
        foreach (PruningTraceStep step in trace.Steps.Take(ListedSteps))
        {
            int index = step.Length - trace.PromptLength;
            string token = PruningTrace.Printable(trace.TextOf(step.Token));
            token = token.Length > 17 ? $"{token[..16]}…" : token;
            string kept = string.Join(' ', step.Trace.Stages.Select(stage => Units.Count(stage.Kept.Length)));
            console.WriteLine($"{index,4}  {token,-17}  {kept,-26}  {(step.Revived.Count == 0 ? "-" : Units.Count(step.Revived.Count))}");
        }

        if (trace.Steps.Count > ListedSteps)
        {
            console.WriteLine($"      … and {trace.Steps.Count - ListedSteps} steps more.");
        }

        console.WriteLine();
    }

    /// <summary>A stage's layers in words.</summary>
    public static string LayersOf(Stage stage) =>
        stage.LayerCount == 1 ? $"layer {stage.FirstLayer}" : $"layers {stage.FirstLayer}-{stage.EndLayer - 1}";

    private static char GlyphOf(int stage, StagePlan plan) => Glyphs[Level(stage, plan, Glyphs.Length)];

    private static Style StyleOf(int stage, StagePlan plan) => new(Colors[Level(stage, plan, Colors.Length)]);

    /// <summary>Spreads the stages over a scale, the last one at its end.</summary>
    private static int Level(int stage, StagePlan plan, int levels)
    {
        int last = plan.Stages.Length - 1;
        return last == 0 ? levels - 1 : (int)Math.Round((double)stage / last * (levels - 1));
    }
}
