using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Monitor;

/// <summary>The figures of a request that is over. Times are in milliseconds; those that there are not are null.</summary>
internal sealed record EndedRequest
{
    public required long Id { get; init; }

    public required long Number { get; init; }

    /// <summary>When it ended, in milliseconds since 1970.</summary>
    public required long At { get; init; }

    public required string Operation { get; init; }

    public required string Schedule { get; init; }

    public required bool Pruned { get; init; }

    /// <summary>Why it ended: stop, length, context; cancelled, or the error's name.</summary>
    public required string Outcome { get; init; }

    public required int PromptTokens { get; init; }

    public required int ReusedTokens { get; init; }

    public required int GeneratedTokens { get; init; }

    public required double QueueTime { get; init; }

    public required double? TimeToFirstToken { get; init; }

    public required double? TimePerToken { get; init; }

    public required double Duration { get; init; }

    public required double? ComputedShare { get; init; }

    public required IReadOnlyList<StageFigures> Stages { get; init; }

    public static EndedRequest From(ScheduledAnswer answer, long id, long at)
    {
        RunStatistics? run = answer.Statistics;
        int layers = run is { Stages: [.., var last] } ? last.Stage.EndLayer : 1;
        return new EndedRequest
        {
            Id = id,
            Number = answer.Number,
            At = at,
            Operation = answer.Request.Operation,
            Schedule = answer.Request.Schedule.ToString(),
            Pruned = !answer.Request.Schedule.IsDense,
            Outcome = answer.Failure switch
            {
                null => answer.Finish.ToString().ToLowerInvariant(),
                OperationCanceledException => "cancelled",
                Exception error => error.GetType().Name,
            },
            PromptTokens = answer.Request.Tokens.Length,
            ReusedTokens = answer.ReusedTokens,
            GeneratedTokens = answer.GeneratedTokens,
            QueueTime = answer.QueueTime.TotalMilliseconds,
            TimeToFirstToken = answer.GeneratedTokens > 0 ? answer.TimeToFirstToken.TotalMilliseconds : null,
            TimePerToken = run is { GeneratedTokens: > 1 } && answer.Failure is null ? run.TimePerOutputToken.TotalMilliseconds : null,
            Duration = answer.Age.TotalMilliseconds,
            ComputedShare = run is { DensePairs: > 0 } ? run.ComputedShare : null,
            Stages = run is null ? [] : [.. run.Stages.Select(stage => new StageFigures(stage.Stage.FirstLayer, stage.Stage.EndLayer, stage.Computed, run.DensePairs / layers, stage.Revived))],
        };
    }
}
