namespace LazyLlm.Server.Protocol;

/// <summary>Where the time of a request went, in milliseconds, and what pruning spared.</summary>
/// <param name="PrepareMs">From the arrival to the queue: reading, tokenising.</param>
/// <param name="QueueMs">In the queue.</param>
/// <param name="PrefillMs">From there to the first token.</param>
/// <param name="TtftMs">From the arrival to the first token; the three together.</param>
/// <param name="PerTokenMs">Mean time of a token after the first.</param>
/// <param name="TotalMs">From the arrival to the last token.</param>
/// <param name="PairsComputed">(token, layer) pairs computed.</param>
/// <param name="PairsDense">(token, layer) pairs that the dense model would have computed.</param>
/// <param name="DenseShare">The former over the latter.</param>
/// <param name="PositionsRevived">Pruned positions that came back, in all stages together.</param>
/// <param name="Stages">The same by stage.</param>
internal sealed record Timings(
    double PrepareMs,
    double QueueMs,
    double PrefillMs,
    double TtftMs,
    double PerTokenMs,
    double TotalMs,
    long PairsComputed,
    long PairsDense,
    double DenseShare,
    long PositionsRevived,
    StageTimings[] Stages);

/// <summary>What one stage computed.</summary>
/// <param name="FirstLayer">Its first layer.</param>
/// <param name="LastLayer">Its last layer.</param>
/// <param name="Keep">Share of the context that it may see.</param>
/// <param name="PositionsComputed">Positions that went through its layers.</param>
/// <param name="PositionsRevived">Those of them that had been pruned.</param>
/// <param name="DenseShare">The positions computed over those of the dense model.</param>
internal sealed record StageTimings(int FirstLayer, int LastLayer, double Keep, long PositionsComputed, long PositionsRevived, double DenseShare);
