using LazyLlm.Native.Backends;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Inference;

/// <summary>
/// The host's side of one session's state: how many positions there are, and how many of them each stage has computed.
/// The rows themselves (Aux cache, stage caches) are in <see cref="Memory"/>.
/// </summary>
internal sealed class Sequence : IDisposable
{
    private readonly int[] _slotCounts;
    private readonly int[] _slotCountsBefore;
    private readonly int[] _newRows;
    private readonly long[] _computed;
    private readonly long[] _revived;

    public Sequence(ISequenceMemory memory, StagePlan plan, int capacity)
    {
        Memory = memory;
        Plan = plan;
        Capacity = capacity;
        _slotCounts = new int[plan.Stages.Length];
        _slotCountsBefore = new int[plan.Stages.Length];
        _newRows = new int[plan.Stages.Length];
        _computed = new long[plan.Stages.Length];
        _revived = new long[plan.Stages.Length];
    }

    /// <summary>Aux cache, stage caches and the current sets, on the device.</summary>
    public ISequenceMemory Memory { get; }

    /// <summary>The stages that the layers are cut into.</summary>
    public StagePlan Plan { get; }

    /// <summary>Positions that the sequence may have.</summary>
    public int Capacity { get; }

    /// <summary>Positions there are, those of an unfinished step included.</summary>
    public int Length { get; private set; }

    /// <summary>The first position of the current step.</summary>
    public int FirstNew { get; private set; }

    /// <summary>T and C of the current stage, by size.</summary>
    public StepTokens Tokens { get; private set; }

    /// <summary>The current stage's rows in the workspace.</summary>
    public RowRange Rows { get; set; }

    /// <summary>Whether in the current stage slot order is position order, all slots are in T, and C is T's tail.</summary>
    public bool IsDense { get; private set; }

    /// <summary>Positions of C that are new in this step; the last rows.</summary>
    public int NewRows => Tokens.Rows - Tokens.Revived;

    /// <summary>Rows computed so far per stage: (token, layer) pairs divided by the stage's layers.</summary>
    public ReadOnlySpan<long> Computed => _computed;

    /// <summary>Rows among <see cref="Computed"/> that an earlier step had pruned, per stage.</summary>
    public ReadOnlySpan<long> Revived => _revived;

    /// <summary>Takes <paramref name="count"/> new positions; their embeddings are in the Aux cache already.</summary>
    public void BeginStep(int count)
    {
        FirstNew = Length;
        Length += count;
        _slotCounts.CopyTo(_slotCountsBefore, 0);
    }

    /// <summary>Chooses T and C of <paramref name="stage"/>.</summary>
    public void EnterStage(IOperations operations, Stage stage)
    {
        int cached = _slotCounts[stage.Index];
        if (stage.Index == 0)
        {
            Tokens = operations.TakeAll(Memory, FirstNew, Length - FirstNew);
        }
        else
        {
            SelectionRule rule = Plan.Rule;
            bool isStatic = !rule.Revive && cached > 0;
            int previous = Tokens.TokenCount;
            var request = new SelectionRequest(
                stage.Index,
                isStatic ? cached + (Length - FirstNew) : Plan.KeepCount(stage, Length, previous),
                Length,
                FirstNew,
                FirstFill: cached == 0,
                rule.PoolWidth,
                rule.KeepFirst,
                rule.KeepRecent,
                rule.AttentionMass ?? 0,
                isStatic);
            Tokens = operations.SelectTokens(Memory, request);
        }

        // A stage that never left anything out has its slots in position order. By a fraction, T can be everything only
        // while it always was; by attention mass it may become so after positions were revived out of order.
        bool wasComplete = cached == FirstNew && Tokens.TokenCount == Length;
        IsDense = cached == 0 || (wasComplete && (stage.Index == 0 || Plan.Rule.AttentionMass is null));
        _slotCounts[stage.Index] += Tokens.Rows;
        _newRows[stage.Index] = NewRows;
    }

    /// <summary>Counts the rows of a stage whose layers have all run.</summary>
    public void LeaveStage(Stage stage)
    {
        _computed[stage.Index] += Tokens.Rows;
        _revived[stage.Index] += Tokens.Revived;
    }

    /// <summary>
    /// Undoes the current step, of which the stages before <paramref name="openStage"/> have finished. Rows that those
    /// stages revived stay computed; everything of the new positions goes, and so does what the open stage took.
    /// </summary>
    public void Rollback(int openStage)
    {
        for (int stage = 0; stage < _slotCounts.Length; stage++)
        {
            // Within a step, slots are given in ascending position order: the new positions have the last ones.
            _slotCounts[stage] = stage < openStage ? _slotCounts[stage] - _newRows[stage] : _slotCountsBefore[stage];
        }

        Length = FirstNew;
        Memory.Rollback(Length, _slotCounts);
    }

    /// <summary>Forgets every position.</summary>
    public void Reset()
    {
        Memory.Reset();
        Length = 0;
        FirstNew = 0;
        Array.Clear(_slotCounts);
        Array.Clear(_computed);
        Array.Clear(_revived);
    }

    /// <summary>A copy that goes on independently.</summary>
    public Sequence Fork()
    {
        var copy = new Sequence(Memory.Fork(), Plan, Capacity) { Length = Length, FirstNew = FirstNew };
        _slotCounts.CopyTo(copy._slotCounts, 0);
        return copy;
    }

    public void Dispose() => Memory.Dispose();
}
