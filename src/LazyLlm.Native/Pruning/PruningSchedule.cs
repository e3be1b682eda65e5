using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Pruning;

/// <summary>
/// Where a model drops positions and how many it keeps: ordered (layer, keep) pairs, with keep a fraction of the whole
/// context that does not rise with depth. Text form <c>9:0.7,19:0.49,28:0.343</c>, or <c>none</c>, <c>paper</c>,
/// <c>fast</c>; options of the selection rule follow after semicolons, as in <c>9:0.5;pool=7;recent=32</c>
/// (<c>layers queries pool first recent mass revive</c>, see <see cref="SelectionRule"/>).
/// </summary>
public sealed class PruningSchedule : IEquatable<PruningSchedule>
{
    // The paper's figures 4 and 7 shrink a model of 32 layers after layers 9, 19 and 28.
    private static readonly double[] PresetDepths = [9.0 / 32, 19.0 / 32, 28.0 / 32];

    private readonly string? _preset;
    private readonly double _presetKeep;

    private PruningSchedule(ImmutableArray<PruningPoint> points, SelectionRule rule, string? preset = null, double presetKeep = 1)
    {
        Points = points;
        Rule = rule;
        _preset = preset;
        _presetKeep = presetKeep;
    }

    /// <summary>The dense model: every layer sees every position.</summary>
    public static PruningSchedule None { get; } = new([], SelectionRule.Default);

    /// <summary>The paper's example: after 9/32, 19/32 and 28/32 of the layers keep 0.7, 0.49 and 0.343 of the context.</summary>
    public static PruningSchedule Paper { get; } = new([], SelectionRule.Default, "paper", 0.7);

    /// <summary>At the paper's three depths keep 0.35 of what is left each time.</summary>
    public static PruningSchedule Fast { get; } = new([], SelectionRule.Default, "fast", 0.35);

    /// <summary>The pairs as given. Empty for the dense model and for presets, whose layers depend on the model.</summary>
    public ImmutableArray<PruningPoint> Points { get; }

    /// <summary>How positions are scored and chosen.</summary>
    public SelectionRule Rule { get; }

    /// <summary>Whether every layer sees every position.</summary>
    public bool IsDense => _preset is null && Points.IsEmpty;

    /// <summary>Builds a schedule from its pairs.</summary>
    /// <exception cref="InvalidOptionException">Layers do not rise from 1 on, or keeps are not within (0, 1] or rise.</exception>
    public static PruningSchedule Create(IEnumerable<PruningPoint> points, SelectionRule? rule = null)
    {
        ArgumentNullException.ThrowIfNull(points);
        rule ??= SelectionRule.Default;
        rule.Validate();
        ImmutableArray<PruningPoint> list = [.. points];
        for (int i = 0; i < list.Length; i++)
        {
            PruningPoint point = list[i];
            if (point.Layer < 1)
            {
                throw Invalid($"layer {point.Layer} cannot open a stage, expected 1 or more: layer 0 has no attention before it to choose by.");
            }

            if (!(point.Keep > 0 && point.Keep <= 1))
            {
                throw Invalid($"keep {point.Keep} at layer {point.Layer}, expected a fraction above 0 and at most 1.");
            }

            if (i > 0 && point.Layer <= list[i - 1].Layer)
            {
                throw Invalid($"layer {point.Layer} follows layer {list[i - 1].Layer}, expected layers in rising order, each once.");
            }

            if (i > 0 && point.Keep > list[i - 1].Keep)
            {
                throw Invalid($"keep {point.Keep} at layer {point.Layer} is above {list[i - 1].Keep} before it; a deeper layer cannot see more.");
            }
        }

        return new PruningSchedule(list, rule);
    }

    /// <summary>Reads the text form.</summary>
    /// <exception cref="InvalidOptionException">The text is not a schedule; the message says which part.</exception>
    public static PruningSchedule Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] parts = text.Split(';', StringSplitOptions.TrimEntries);
        SelectionRule rule = parts[1..].Aggregate(SelectionRule.Default, ParseOption);
        rule.Validate();
        switch (parts[0])
        {
            case "none" or "dense":
                return None.With(rule);
            case "paper":
                return Paper.With(rule);
            case "fast":
                return Fast.With(rule);
            case "":
                throw Invalid("the text is empty, expected 'none', 'paper', 'fast' or pairs such as '9:0.7,19:0.49'.");
        }

        var points = new List<PruningPoint>();
        foreach (string pair in parts[0].Split(',', StringSplitOptions.TrimEntries))
        {
            int colon = pair.IndexOf(':', StringComparison.Ordinal);
            if (colon < 0
                || !int.TryParse(pair.AsSpan(0, colon), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int layer)
                || !double.TryParse(pair.AsSpan(colon + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out double keep))
            {
                throw Invalid($"'{pair}' is not a 'layer:keep' pair; expected 'none', 'paper', 'fast' or pairs such as '9:0.7,19:0.49'.");
            }

            points.Add(new PruningPoint(layer, keep));
        }

        return Create(points, rule);
    }

    /// <summary>This schedule with another selection rule.</summary>
    public PruningSchedule With(SelectionRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        rule.Validate();
        return new PruningSchedule(Points, rule, _preset, _presetKeep);
    }

    /// <summary>Cuts a model of <paramref name="layerCount"/> layers into the stages of this schedule.</summary>
    /// <exception cref="InvalidOptionException">A layer is beyond the model.</exception>
    public StagePlan PlanFor(int layerCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(layerCount, 1);
        if (Points.Length > 0 && Points[^1].Layer >= layerCount)
        {
            throw Invalid($"layer {Points[^1].Layer} is beyond the model, whose last layer is {layerCount - 1}.");
        }

        return new StagePlan(_preset is null ? Points : ScalePreset(layerCount), Rule, layerCount);
    }

    /// <inheritdoc/>
    public bool Equals(PruningSchedule? other) =>
        other is not null && _preset == other._preset && Rule == other.Rule && Points.AsSpan().SequenceEqual(other.Points.AsSpan());

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PruningSchedule);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_preset, Rule, Points.Length, Points.IsEmpty ? default : Points[0]);

    /// <summary>The text form; <see cref="Parse"/> reads it back.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(_preset ?? (Points.IsEmpty ? "none" : string.Join(',', Points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Layer}:{p.Keep:R}")))));
        SelectionRule standard = SelectionRule.Default;
        AppendOption("layers", Rule.ScoreLayers, standard.ScoreLayers);
        AppendOption("queries", Rule.ScoreQueries, standard.ScoreQueries);
        AppendOption("pool", Rule.PoolWidth, standard.PoolWidth);
        AppendOption("first", Rule.KeepFirst, standard.KeepFirst);
        AppendOption("recent", Rule.KeepRecent, standard.KeepRecent);
        AppendOption("mass", Rule.AttentionMass ?? 0, 0);
        if (!Rule.Revive)
        {
            text.Append(";revive=no");
        }

        return text.ToString();

        void AppendOption(string name, double value, double unset)
        {
            if (value != unset)
            {
                text.Append(CultureInfo.InvariantCulture, $";{name}={value:R}");
            }
        }
    }

    private static SelectionRule ParseOption(SelectionRule rule, string option)
    {
        int equals = option.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? option : option[..equals];
        string value = equals < 0 ? "" : option[(equals + 1)..];
        return name switch
        {
            "layers" => rule with { ScoreLayers = Whole() },
            "queries" => rule with { ScoreQueries = Whole() },
            "pool" => rule with { PoolWidth = Whole() },
            "first" => rule with { KeepFirst = Whole() },
            "recent" => rule with { KeepRecent = Whole() },
            "mass" => rule with { AttentionMass = double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double mass) ? mass : throw NotA("number") },
            "revive" => rule with { Revive = value switch { "yes" => true, "no" => false, _ => throw NotA("'yes' or 'no'") } },
            _ => throw Invalid($"option '{name}' is unknown, expected layers, queries, pool, first, recent, mass or revive."),
        };

        int Whole() => int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int whole) ? whole : throw NotA("whole number");

        InvalidOptionException NotA(string expected) => Invalid($"option '{name}' has the value '{value}', expected a {expected}.");
    }

    private static InvalidOptionException Invalid(string problem) => new("pruning schedule", problem);

    private ImmutableArray<PruningPoint> ScalePreset(int layerCount)
    {
        // A shallow model may have fewer layers than the preset has points: points that meet leave the lower keep.
        var points = new SortedDictionary<int, double>();
        double keep = 1;
        foreach (double depth in PresetDepths)
        {
            keep *= _presetKeep;
            int layer = Math.Max(1, (int)Math.Round(depth * layerCount, MidpointRounding.AwayFromZero));
            if (layer < layerCount)
            {
                points[layer] = keep;
            }
        }

        return [.. points.Select(p => new PruningPoint(p.Key, p.Value))];
    }
}
