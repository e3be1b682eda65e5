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
        console.WriteLine("Each position by the last stage that kept it:");
        DrawCells(console, first.Length, position => LevelOf(first.LastStageOf(position), trace.Plan));
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
            double level = LevelOf(stage.Stage.Index, plan);
            console.Write("  ");
            console.Write(GlyphOf(level));
            console.Write(new Text($" {LayersOf(stage.Stage),-13} {Units.Count(stage.Kept.Length).PadLeft(countWidth)} of {Units.Count(step.Length)} positions  {Units.Share(share),4}  "));
            console.Write(new Text(new string('━', bar), StyleOf(level)));
            console.WriteLine();
        }

        console.WriteLine();
    }

    /// <summary>Draws positions as cells, row by row. A long sequence has several in a cell, which shows the highest level.</summary>
    /// <param name="console">Where to draw.</param>
    /// <param name="length">How many positions there are.</param>
    /// <param name="levelOf">What to show for a position, from 0 to 1.</param>
    public static void DrawCells(IAnsiConsole console, int length, Func<int, double> levelOf)
    {
        int perCell = (length + (CellsPerRow * MostRows) - 1) / (CellsPerRow * MostRows);
        int cells = (length + perCell - 1) / perCell;
        for (int row = 0; row < cells; row += CellsPerRow)
        {
            console.Write(new Text($"{row * perCell,8}  ", new Style(Colors[0])));
            for (int cell = row; cell < Math.Min(cells, row + CellsPerRow); cell++)
            {
                double level = 0;
                for (int position = cell * perCell; position < Math.Min(length, (cell + 1) * perCell); position++)
                {
                    level = Math.Max(level, levelOf(position));
                }

                console.Write(GlyphOf(level));
            }

            console.WriteLine();
        }

        if (perCell > 1)
        {
            console.WriteLine($"          Each cell is {perCell} positions, shown by the one that came furthest.");
        }

        console.WriteLine();
    }

    /// <summary>Draws what a level means.</summary>
    public static void DrawKey(IAnsiConsole console, double level, string meaning)
    {
        console.Write("  ");
        console.Write(GlyphOf(level));
        console.WriteLine($" {meaning}");
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
        console.Write(new Padder(new Text(PruningTrace.Printable(words.ToString()).Trim(), StyleOf(1)), new Padding(2, 0, 2, 0)));
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

    private static Text GlyphOf(double level) => new(Glyphs[Index(level)].ToString(), StyleOf(level));

    private static Style StyleOf(double level) => new(Colors[Index(level)]);

    private static int Index(double level) => (int)Math.Round(level * (Glyphs.Length - 1));

    /// <summary>Spreads the stages over a scale from 0 to 1, the last one at its end.</summary>
    private static double LevelOf(int stage, StagePlan plan) => plan.Stages.Length == 1 ? 1 : (double)stage / (plan.Stages.Length - 1);
}
