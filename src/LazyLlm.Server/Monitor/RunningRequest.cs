using LazyLlm.Native.Scheduling;

namespace LazyLlm.Server.Monitor;

/// <summary>A request that runs. Times are in milliseconds.</summary>
internal sealed record RunningRequest(
    long Number,
    string Operation,
    string State,
    string Schedule,
    int PromptTokens,
    int ReusedTokens,
    int PrefillLayers,
    int GeneratedTokens,
    double Age,
    double? TimeToFirstToken)
{
    public static RunningRequest From(ScheduledAnswer answer) => new(
        answer.Number,
        answer.Request.Operation,
        answer.State.ToString().ToLowerInvariant(),
        answer.Request.Schedule.ToString(),
        answer.Request.Tokens.Length,
        answer.ReusedTokens,
        answer.PrefillLayers,
        answer.GeneratedTokens,
        answer.Age.TotalMilliseconds,
        answer.GeneratedTokens > 0 ? answer.TimeToFirstToken.TotalMilliseconds : null);
}
