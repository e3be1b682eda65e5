using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Monitor;

/// <summary>The figures of one run of a comparison. Times in milliseconds, memory in bytes.</summary>
internal sealed record ComparisonFigures
{
    public required double TimeToFirstToken { get; init; }

    /// <summary>Null for an answer of one token.</summary>
    public required double? TimePerToken { get; init; }

    public required int GeneratedTokens { get; init; }

    public required string Finish { get; init; }

    public required double ComputedShare { get; init; }

    public required long KeyValueBytes { get; init; }

    public required long AuxBytes { get; init; }

    /// <summary>What the stages of the prefill kept.</summary>
    public required IReadOnlyList<ComparisonStage> Stages { get; init; }

    /// <summary>Per position of the prompt, the index of the last stage that kept it.</summary>
    public required IReadOnlyList<int> LastStages { get; init; }

    public static ComparisonFigures From(ScheduledAnswer answer)
    {
        RunStatistics run = answer.Statistics!;
        StepTrace trace = answer.PrefillTrace!;
        return new ComparisonFigures
        {
            TimeToFirstToken = answer.TimeToFirstToken.TotalMilliseconds,
            TimePerToken = run.GeneratedTokens > 1 ? run.TimePerOutputToken.TotalMilliseconds : null,
            GeneratedTokens = run.GeneratedTokens,
            Finish = answer.Finish.ToString().ToLowerInvariant(),
            ComputedShare = run.ComputedShare,
            KeyValueBytes = run.KeyValueBytes,
            AuxBytes = run.AuxBytes,
            Stages = [.. trace.Stages.Zip(run.Stages, (kept, all) => new ComparisonStage(kept.Stage.FirstLayer, kept.Stage.EndLayer, kept.Kept.Length, all.Computed, all.Revived))],
            LastStages = trace.LastStages(),
        };
    }
}
