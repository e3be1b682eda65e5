using System.Collections.Immutable;
using System.Diagnostics;
using LazyLlm.Native.Diagnostics;

namespace LazyLlm.Native.Inference;

/// <summary>The times and counts of a run, from its start on.</summary>
internal sealed class RunClock
{
    private readonly long _start;
    private readonly int _startLength;
    private readonly long[] _startComputed;
    private readonly long[] _startRevived;
    private long _firstToken;
    private long _lastToken;
    private int _generatedTokens;

    /// <summary>Starts a run.</summary>
    /// <param name="sequence">What the run goes on from.</param>
    /// <param name="start">When it began, by <see cref="Stopwatch"/>, where that was earlier: a request that waited.</param>
    public RunClock(Sequence sequence, long? start = null)
    {
        _start = start ?? Stopwatch.GetTimestamp();
        _startLength = sequence.Length;
        _startComputed = sequence.Computed.ToArray();
        _startRevived = sequence.Revived.ToArray();
    }

    /// <summary>New tokens of the prompt or turn.</summary>
    public int PromptTokens { get; set; }

    /// <summary>Notes that a token was generated.</summary>
    public void CountToken()
    {
        _lastToken = Stopwatch.GetTimestamp();
        if (_generatedTokens++ == 0)
        {
            _firstToken = _lastToken;
        }
    }

    /// <summary>The figures so far.</summary>
    public RunStatistics Read(Sequence sequence, int layerCount)
    {
        var stages = ImmutableArray.CreateBuilder<StageStatistics>(sequence.Plan.Stages.Length);
        long computedPairs = 0;
        foreach (Pruning.Stage stage in sequence.Plan.Stages)
        {
            long computed = sequence.Computed[stage.Index] - _startComputed[stage.Index];
            stages.Add(new StageStatistics(stage, computed, sequence.Revived[stage.Index] - _startRevived[stage.Index]));
            computedPairs += computed * stage.LayerCount;
        }

        return new RunStatistics
        {
            TimeToFirstToken = _generatedTokens > 0 ? Stopwatch.GetElapsedTime(_start, _firstToken) : TimeSpan.Zero,
            TimePerOutputToken = _generatedTokens > 1 ? Stopwatch.GetElapsedTime(_firstToken, _lastToken) / (_generatedTokens - 1) : TimeSpan.Zero,
            TotalTime = _generatedTokens > 0 ? Stopwatch.GetElapsedTime(_start, _lastToken) : TimeSpan.Zero,
            PromptTokens = PromptTokens,
            GeneratedTokens = _generatedTokens,
            ContextTokens = sequence.Length,
            Stages = stages.MoveToImmutable(),
            ComputedPairs = computedPairs,
            DensePairs = (long)(sequence.Length - _startLength) * layerCount,
            KeyValueBytes = sequence.Memory.KeyValueBytes,
            DenseKeyValueBytes = sequence.Memory.KeyValueBytesPerTokenAndLayer * layerCount * sequence.Length,
            AuxBytes = sequence.Memory.AuxBytes,
        };
    }
}
