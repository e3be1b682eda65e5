using System.Runtime.ExceptionServices;
using LazyLlm.Native.Backends;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Inference;

/// <summary>
/// LazyLLM's layer loop. One pass takes the new tokens of a sequence (a whole prompt, a follow-up turn, or one token) to
/// logits; prefill and decode are the same code.
/// <code>
/// append the new positions; Aux[new] = embedding
/// for each stage:
///     T = every position, or the positions of T with the highest importance     (the newest always stays)
///     C = positions of T that this stage has not computed yet: new and revived
///     X = Aux[C]
///     for each layer:  K, V of C -> stage cache;  X += attention of C over T;  X += MLP
///     Aux[C] = X;  importance of T = attention of the newest position in the last layer
/// logits = head(norm(X's last row))
/// </code>
/// In the last layer, past K and V, X is its last row alone: nothing else asks for the others.
/// A position that a stage leaves out keeps its hidden state in the Aux cache, where any later step can pick it up: no
/// (layer, token) pair is computed twice.
/// </summary>
/// <remarks>
/// The pass goes layer by layer so that its caller may stop or interleave it. Several sequences whose schedules cut the
/// layers alike can share a pass: products then run over the rows of all of them.
/// </remarks>
internal sealed class ForwardPass(IOperations operations, int hiddenSize) : IDisposable
{
    private readonly IWorkspace _workspace = operations.CreateWorkspace();
    private readonly List<Sequence> _sequences = [];
    private StagePlan _plan = null!;
    private int _layer;
    private int _rows;
    private bool _isReplayed;

    /// <summary>Layers that have run, of all the layers.</summary>
    public int Layer => _layer;

    /// <summary>Bytes of the rows that passes work on.</summary>
    public long WorkspaceBytes => _workspace.AllocatedBytes;

    /// <summary>Called when a stage has chosen what it sees: (sequence, stage). For traces.</summary>
    public Action<Sequence, Stage>? StageEntered { get; set; }

    /// <summary>Called with the logits of every row of the last stage, where a caller wants more than the last row's.</summary>
    public Action<int, ReadOnlySpan<float>>? RowLogits { get; set; }

    /// <summary>Starts a pass without sequences.</summary>
    public void Begin()
    {
        _sequences.Clear();
        _layer = 0;
    }

    /// <summary>Adds a sequence and its new tokens to a pass that has not advanced yet.</summary>
    /// <exception cref="ContextLengthException">The tokens do not fit; the sequence is as it was.</exception>
    public void Add(Sequence sequence, ReadOnlySpan<int> tokens)
    {
        CheckRoom(sequence, tokens.Length);
        operations.Embed(sequence.Memory, sequence.Length, tokens);
        Join(sequence, tokens.Length);
    }

    /// <summary>Adds a sequence and prompt embeddings (rows of the hidden size) in place of tokens.</summary>
    /// <exception cref="ContextLengthException">The rows do not fit; the sequence is as it was.</exception>
    public void AddEmbeddings(Sequence sequence, ReadOnlySpan<float> embeddings)
    {
        int count = embeddings.Length / hiddenSize;
        CheckRoom(sequence, count);
        operations.EmbedRows(sequence.Memory, sequence.Length, embeddings);
        Join(sequence, count);
    }

    /// <summary>Runs the next layer, or all layers of a stage that the device replays.</summary>
    /// <returns>Whether there are layers left.</returns>
    public bool Advance()
    {
        Stage stage = _plan.StageOf(_layer);
        if (_layer == stage.FirstLayer)
        {
            EnterStage(stage);
        }

        if (!_isReplayed)
        {
            RunLayer(stage);
        }

        // The layer moves on last: until then, a rollback counts the stage as unfinished.
        int next = _isReplayed ? stage.EndLayer : _layer + 1;
        if (next == stage.EndLayer)
        {
            LeaveStage(stage);
        }

        _layer = next;
        return _layer < _plan.LayerCount;
    }

    /// <summary>
    /// Undoes an unfinished pass: every sequence is as long as it was before, also where the device refuses to undo one of
    /// them, which then tries again before its next step.
    /// </summary>
    /// <exception cref="DeviceException">The device refused; the first such error.</exception>
    public void Rollback()
    {
        if (_sequences.Count == 0)
        {
            return;
        }

        int openStage = _layer < _plan.LayerCount ? _plan.StageOf(_layer).Index : _plan.Stages.Length;
        ExceptionDispatchInfo? refusal = null;
        foreach (Sequence sequence in _sequences)
        {
            try
            {
                sequence.Rollback(openStage);
            }
            catch (DeviceException error)
            {
                refusal ??= ExceptionDispatchInfo.Capture(error);
            }
        }

        refusal?.Throw();
    }

    /// <summary>Lets go of the sequences of a pass that has ended.</summary>
    public void End() => _sequences.Clear();

    /// <summary>Logits of the <paramref name="index"/>-th sequence of a finished pass; valid until the next pass.</summary>
    public ReadOnlySpan<float> Logits(int index = 0) => operations.ReadLogits(_workspace, index);

    public void Dispose() => _workspace.Dispose();

    private static void CheckRoom(Sequence sequence, int count)
    {
        if (count > sequence.Capacity - sequence.Length)
        {
            throw new ContextLengthException((long)sequence.Length + count, sequence.Capacity);
        }
    }

    private void Join(Sequence sequence, int count)
    {
        sequence.BeginStep(count);
        _plan = sequence.Plan;
        _sequences.Add(sequence);
    }

    private void EnterStage(Stage stage)
    {
        _rows = 0;
        foreach (Sequence sequence in _sequences)
        {
            sequence.EnterStage(operations, sequence.Plan.Stages[stage.Index]);
            StageEntered?.Invoke(sequence, stage);
            sequence.Rows = new RowRange(_rows, sequence.Tokens.Rows);
            _rows += sequence.Tokens.Rows;
        }

        _workspace.Reserve(_rows);
        _isReplayed = RowLogits is null && _sequences is [Sequence only]
            && operations.BeginStage(only.Memory, _workspace, stage, only.Tokens, only.IsDense);
        if (_isReplayed)
        {
            return;
        }

        foreach (Sequence sequence in _sequences)
        {
            operations.GatherRows(sequence.Memory, _workspace, sequence.Rows);
        }
    }

    private void RunLayer(Stage stage)
    {
        operations.RmsNorm(_workspace, _rows, _layer, LayerNorm.Attention);
        operations.Linear(_workspace, _rows, _layer, Projection.QueryKeyValue);
        for (int i = 0; i < _sequences.Count; i++)
        {
            Sequence sequence = _sequences[i];
            operations.RopeToCache(sequence.Memory, _workspace, sequence.Rows, _layer);
            if (_layer == _plan.LayerCount - 1 && RowLogits is null)
            {
                // What a row is after the last layer, nobody asks but for the newest; its K and V are there.
                operations.KeepLastRow(sequence.Memory, _workspace, sequence.Rows, i);
                sequence.Rows = new RowRange(i, 1);
            }

            if (sequence.IsDense)
            {
                operations.AttendDense(sequence.Memory, _workspace, sequence.Rows, _layer);
            }
            else
            {
                operations.AttendGathered(sequence.Memory, _workspace, sequence.Rows, _layer);
            }

            Score(sequence, stage);
        }

        _rows = _sequences[^1].Rows.End;
        operations.Linear(_workspace, _rows, _layer, Projection.AttentionOutput);
        operations.RmsNorm(_workspace, _rows, _layer, LayerNorm.Mlp);
        operations.Linear(_workspace, _rows, _layer, Projection.GateUp);
        operations.Linear(_workspace, _rows, _layer, Projection.Down);
    }

    /// <summary>Scores T where the next stage will choose from it: after the stage's last layer, or its last few.</summary>
    private void Score(Sequence sequence, Stage stage)
    {
        SelectionRule rule = sequence.Plan.Rule;
        int firstScored = Math.Max(stage.FirstLayer, stage.EndLayer - rule.ScoreLayers);
        if (stage.EndLayer < _plan.LayerCount && _layer >= firstScored)
        {
            int queries = Math.Min(rule.ScoreQueries, sequence.NewRows);
            operations.ScoreLast(sequence.Memory, _workspace, sequence.Rows, _layer, queries, accumulate: _layer > firstScored);
        }
    }

    private void LeaveStage(Stage stage)
    {
        bool isLast = stage.EndLayer == _plan.LayerCount;
        for (int i = 0; i < _sequences.Count; i++)
        {
            Sequence sequence = _sequences[i];
            if (!_isReplayed && isLast)
            {
                for (int row = sequence.Rows.Start; RowLogits is not null && row < sequence.Rows.End; row++)
                {
                    operations.Logits(_workspace, row, i);
                    RowLogits(row - sequence.Rows.Start, operations.ReadLogits(_workspace, i));
                }

                operations.Logits(_workspace, sequence.Rows.End - 1, i);
            }
            else if (!_isReplayed)
            {
                operations.ScatterRows(sequence.Memory, _workspace, sequence.Rows);
            }

            sequence.LeaveStage(stage);
        }

        if (RowLogits is null && _sequences is [Sequence only])
        {
            operations.EndStage(only.Memory, _workspace, stage);
        }
    }
}
