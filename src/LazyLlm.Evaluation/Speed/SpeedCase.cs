using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Speed;

/// <summary>What was measured: a number of prompts of one length under one schedule.</summary>
/// <param name="Batch">Sequences at a time.</param>
/// <param name="Length">Tokens of each prompt.</param>
/// <param name="Schedule">The schedule.</param>
public readonly record struct SpeedCase(int Batch, int Length, PruningSchedule Schedule);
