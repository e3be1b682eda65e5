namespace LazyLlm.Evaluation.Speed;

/// <summary>How far a <see cref="SpeedBenchmark"/> has come.</summary>
/// <param name="Done">Runs that are done, warm-up included.</param>
/// <param name="Total">Runs in all.</param>
/// <param name="Case">What runs now.</param>
public readonly record struct SpeedProgress(int Done, int Total, SpeedCase Case);
