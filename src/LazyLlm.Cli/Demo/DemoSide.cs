using LazyLlm.Native.Pruning;

namespace LazyLlm.Cli.Demo;

/// <summary>One side of the demo: a schedule's runs, of which the last counts and the times are the median's.</summary>
internal sealed class DemoSide(PruningSchedule schedule)
{
    private readonly List<DemoRun> _runs = [];

    public PruningSchedule Schedule => schedule;

    /// <summary>The last run; answers, sets and counts are the same in each.</summary>
    public DemoRun Run => _runs[^1];

    /// <summary>Adds a timed run.</summary>
    public void Add(DemoRun run) => _runs.Add(run);

    /// <summary>Median time to first token of a turn.</summary>
    public TimeSpan TimeToFirstToken(int turn)
    {
        TimeSpan[] times = [.. _runs.Select(run => run.Turns[turn].Prefill.TimeToFirstToken).Order()];
        return (times[times.Length / 2] + times[(times.Length - 1) / 2]) / 2;
    }
}
