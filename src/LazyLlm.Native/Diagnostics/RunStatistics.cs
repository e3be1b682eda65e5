using System.Collections.Immutable;

namespace LazyLlm.Native.Diagnostics;

/// <summary>The figures of a run: everything since a generation began, or since the session's first step without one.</summary>
public sealed record RunStatistics
{
    /// <summary>From the start of the run to the first token (TTFT); zero where there is none yet.</summary>
    public TimeSpan TimeToFirstToken { get; init; }

    /// <summary>Mean time of the tokens after the first; zero where there are none.</summary>
    public TimeSpan TimePerOutputToken { get; init; }

    /// <summary>From the start of the run to its last token.</summary>
    public TimeSpan TotalTime { get; init; }

    /// <summary>New tokens of the prompt or turn.</summary>
    public int PromptTokens { get; init; }

    /// <summary>Tokens generated.</summary>
    public int GeneratedTokens { get; init; }

    /// <summary>Positions of the sequence, those of earlier turns included.</summary>
    public int ContextTokens { get; init; }

    /// <summary>Per stage, the positions computed and revived in this run.</summary>
    public ImmutableArray<StageStatistics> Stages { get; init; } = [];

    /// <summary>(token, layer) pairs computed in this run.</summary>
    public long ComputedPairs { get; init; }

    /// <summary>(token, layer) pairs that a dense run computes for the same tokens.</summary>
    public long DensePairs { get; init; }

    /// <summary><see cref="ComputedPairs"/> over <see cref="DensePairs"/>; 1 for the dense model.</summary>
    public double ComputedShare => DensePairs == 0 ? 1 : (double)ComputedPairs / DensePairs;

    /// <summary>Bytes of K and V in use.</summary>
    public long KeyValueBytes { get; init; }

    /// <summary>Bytes of K and V that the dense model uses for as many positions.</summary>
    public long DenseKeyValueBytes { get; init; }

    /// <summary>Bytes of the Aux cache in use.</summary>
    public long AuxBytes { get; init; }
}
