using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Pruning;

/// <summary>
/// How the positions of a stage are scored and chosen. The default is LazyLLM's own rule (paper, equation 1): the
/// attention of the last position in the last layer of the stage before, averaged over the heads.
/// </summary>
public sealed record SelectionRule
{
    /// <summary>LazyLLM's own rule.</summary>
    public static SelectionRule Default { get; } = new();

    /// <summary>Take the maximum of the scores of this many last layers of the stage before (CLAA uses 4). At least 1.</summary>
    public int ScoreLayers { get; init; } = 1;

    /// <summary>Average the attention of this many last new positions (SnapKV's window). At least 1.</summary>
    public int ScoreQueries { get; init; } = 1;

    /// <summary>Average each score with its neighbours in the token set over this odd width. 1 leaves scores alone.</summary>
    public int PoolWidth { get; init; } = 1;

    /// <summary>Positions at the start of the context that always stay.</summary>
    public int KeepFirst { get; init; }

    /// <summary>Newest positions that always stay. At least 1: the newest is the query.</summary>
    public int KeepRecent { get; init; } = 1;

    /// <summary>
    /// If set, a stage sees the smallest set that holds this share of the scores' sum, with the schedule's keep as the
    /// upper limit. Above 0 and at most 1.
    /// </summary>
    public double? AttentionMass { get; init; }

    /// <summary>
    /// Whether later steps choose anew and may pick up pruned positions. False is static pruning: what the first step
    /// dropped stays dropped, and later positions are all kept.
    /// </summary>
    public bool Revive { get; init; } = true;

    /// <summary>Checks every field.</summary>
    /// <exception cref="InvalidOptionException">A field is out of range.</exception>
    internal void Validate()
    {
        Check(ScoreLayers >= 1, "layers", ScoreLayers, "at least 1");
        Check(ScoreQueries >= 1, "queries", ScoreQueries, "at least 1");
        Check(PoolWidth >= 1 && PoolWidth % 2 == 1, "pool", PoolWidth, "an odd number of at least 1");
        Check(KeepFirst >= 0, "first", KeepFirst, "at least 0");
        Check(KeepRecent >= 1, "recent", KeepRecent, "at least 1");
        Check(AttentionMass is null or (> 0 and <= 1), "mass", AttentionMass ?? 0, "above 0 and at most 1");
    }

    private static void Check(bool valid, string field, double found, string expected)
    {
        if (!valid)
        {
            throw new InvalidOptionException("pruning schedule", $"option '{field}' is {found}, expected {expected}.");
        }
    }
}
