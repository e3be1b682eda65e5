using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Tracing;

/// <summary>One step of a trace.</summary>
internal sealed class PruningTraceStep
{
    private readonly int[] _lastStages;

    private PruningTraceStep(StepTrace trace, int[] revived, int token, float[] logits)
    {
        Trace = trace;
        _lastStages = trace.LastStages();
        Revived = revived;
        Token = token;
        Logits = logits;
    }

    /// <summary>What the stages saw and computed.</summary>
    public StepTrace Trace { get; }

    /// <summary>Positions of the sequence after the step.</summary>
    public int Length => Trace.Length;

    /// <summary>The positions that a stage of this step took up again after an earlier step had pruned them, ascending.</summary>
    public IReadOnlyList<int> Revived { get; }

    /// <summary>The most probable next token.</summary>
    public int Token { get; }

    public float[] Logits { get; }

    /// <summary>Index of the last stage that kept a position in this step.</summary>
    public int LastStageOf(int position) => _lastStages[position];

    /// <summary>Keeps what a step did.</summary>
    /// <param name="trace">The engine's record.</param>
    /// <param name="firstNew">The step's first new position.</param>
    /// <param name="computed">Per stage, which positions it has computed so far; brought up to date.</param>
    /// <param name="token">The most probable next token.</param>
    /// <param name="logits">The step's logits; copied.</param>
    public static PruningTraceStep From(StepTrace trace, int firstNew, bool[][] computed, int token, ReadOnlySpan<float> logits)
    {
        var revived = new SortedSet<int>();
        foreach (StageTrace stage in trace.Stages)
        {
            bool[] known = computed[stage.Stage.Index];
            foreach (int position in stage.Kept)
            {
                if (!known[position] && position < firstNew)
                {
                    revived.Add(position);
                }

                known[position] = true;
            }
        }

        return new PruningTraceStep(trace, [.. revived], token, logits.ToArray());
    }
}
