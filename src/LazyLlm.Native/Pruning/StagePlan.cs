using System.Collections.Immutable;

namespace LazyLlm.Native.Pruning;

/// <summary>A schedule cut to one model: its layers as stages, and the rule that chooses what a stage sees.</summary>
public sealed class StagePlan
{
    private readonly int[] _stageOfLayer;

    internal StagePlan(ImmutableArray<PruningPoint> points, SelectionRule rule, int layerCount)
    {
        Rule = rule;
        LayerCount = layerCount;
        var stages = ImmutableArray.CreateBuilder<Stage>(points.Length + 1);
        stages.Add(new Stage(0, 0, points.Length == 0 ? layerCount : points[0].Layer, 1.0));
        for (int i = 0; i < points.Length; i++)
        {
            int end = i + 1 < points.Length ? points[i + 1].Layer : layerCount;
            stages.Add(new Stage(i + 1, points[i].Layer, end, points[i].Keep));
        }

        Stages = stages.ToImmutable();
        _stageOfLayer = new int[layerCount];
        foreach (Stage stage in Stages)
        {
            _stageOfLayer.AsSpan(stage.FirstLayer, stage.LayerCount).Fill(stage.Index);
        }
    }

    /// <summary>The stages in order; the first sees every position.</summary>
    public ImmutableArray<Stage> Stages { get; }

    /// <summary>How positions are scored and chosen where a stage begins.</summary>
    public SelectionRule Rule { get; }

    /// <summary>Layers of the model.</summary>
    public int LayerCount { get; }

    /// <summary>The stage that <paramref name="layer"/> belongs to.</summary>
    public Stage StageOf(int layer) => Stages[_stageOfLayer[layer]];

    /// <summary>
    /// Positions that <paramref name="stage"/> sees at context length <paramref name="length"/> when the stage before saw
    /// <paramref name="previous"/>: ceil(keep · n - 1e-9), never more than there were, never fewer than the rule forces.
    /// </summary>
    public int KeepCount(Stage stage, int length, int previous)
    {
        int keepCount = (int)Math.Ceiling((stage.Keep * length) - 1e-9);
        int forced = (int)Math.Min(length, (long)Rule.KeepFirst + Rule.KeepRecent);
        return Math.Min(previous, Math.Max(keepCount, forced));
    }
}
