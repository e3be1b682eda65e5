namespace LazyLlm.Native.Backends;

/// <summary>What <see cref="IOperations.SelectTokens"/> has to choose.</summary>
/// <param name="Stage">The stage that begins, 1 or more.</param>
/// <param name="KeepCount">|T| to choose; the upper limit where <paramref name="AttentionMass"/> is above zero.</param>
/// <param name="Length">Context length n after this step's new positions.</param>
/// <param name="FirstNew">The first position that is new in this step.</param>
/// <param name="FirstFill">Whether the stage holds no position yet, so that C = T and the counts are known beforehand.</param>
/// <param name="PoolWidth">Odd width of the mean over neighbours in T; 1 for none.</param>
/// <param name="KeepFirst">Positions below this always stay.</param>
/// <param name="KeepRecent">The newest positions that always stay, 1 or more.</param>
/// <param name="AttentionMass">0, or the share of the importance's sum that the chosen set must hold.</param>
/// <param name="Static">Static pruning: T = the positions the stage has, and all new ones; importance is not looked at. Never set with <paramref name="FirstFill"/>.</param>
internal readonly record struct SelectionRequest(
    int Stage,
    int KeepCount,
    int Length,
    int FirstNew,
    bool FirstFill,
    int PoolWidth,
    int KeepFirst,
    int KeepRecent,
    double AttentionMass,
    bool Static);
