using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;

namespace LazyLlm.Native.Scheduling;

/// <summary>
/// One token for every request that decodes, those whose schedules cut the layers alike in one pass. A pass that fails is
/// undone, and its requests go on one by one: only those that fail again have failed. Keeps one pass for its life, so that
/// a GPU's recorded stages, which belong to a pass, are not recorded anew.
/// </summary>
/// <param name="engine">The model.</param>
/// <param name="told">Told of every request: its error, or null where its next token is drawn.</param>
internal sealed class DecodeRound(LlamaEngine engine, Action<ScheduledRun, Exception?> told) : IDisposable
{
    private readonly List<ScheduledRun> _waiting = [];
    private readonly List<ScheduledRun> _group = [];
    private ForwardPass? _pass;

    /// <summary>Runs the round over those of <paramref name="runs"/> that decode and whose readers keep up.</summary>
    public void Run(List<ScheduledRun> runs)
    {
        _waiting.Clear();
        foreach (ScheduledRun run in runs)
        {
            if (run.CanDecode)
            {
                _waiting.Add(run);
            }
        }

        while (_waiting.Count > 0)
        {
            TakeGroup();
            if (Try(_group) is not Exception failure)
            {
                Draw(_group);
            }
            else
            {
                OneByOne(failure);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_pass is ForwardPass pass)
        {
            _pass = null;
            engine.ReturnPass(pass);
        }
    }

    /// <summary>Moves the first waiting request into the group, and those that can share its pass.</summary>
    private void TakeGroup()
    {
        _group.Clear();
        ScheduledRun first = _waiting[0];
        for (int i = 0; i < _waiting.Count;)
        {
            if (first.SharesCutsWith(_waiting[i]))
            {
                _group.Add(_waiting[i]);
                _waiting.RemoveAt(i);
            }
            else
            {
                i++;
            }
        }
    }

    /// <summary>Goes on after a failed pass. A lost device fails everyone; whoever was alone in the pass has failed already.</summary>
    private void OneByOne(Exception failure)
    {
        ScheduledRun[] runs = [.. _group];
        foreach (ScheduledRun run in runs)
        {
            _group.Clear();
            _group.Add(run);
            Exception? error = runs.Length == 1 || failure is DeviceLostException ? failure : Try(_group);
            if (error is null)
            {
                Draw(_group);
            }
            else
            {
                told(run, error);
            }
        }
    }

    /// <summary>Takes a group's next tokens to logits.</summary>
    /// <returns>Why not, or null. What was taken is undone then.</returns>
    private Exception? Try(List<ScheduledRun> group)
    {
        try
        {
            _pass ??= engine.RentPass();
            _pass.Begin();
            foreach (ScheduledRun run in group)
            {
                _pass.Add(run.Sequence, [run.NextToken]);
            }

            while (_pass.Advance())
            {
            }

            return null;
        }
        catch (Exception error)
        {
            try
            {
                _pass?.Rollback();
            }
            catch (DeviceException second)
            {
                return second is DeviceLostException ? second : error;
            }

            return error;
        }
    }

    /// <summary>Draws a token of its own for each request; bad logits end that request alone.</summary>
    private void Draw(List<ScheduledRun> group)
    {
        for (int i = 0; i < group.Count; i++)
        {
            Exception? failure = null;
            try
            {
                group[i].Take(_pass!.Logits(i));
            }
            catch (Exception error)
            {
                failure = error;
            }

            told(group[i], failure);
        }
    }
}
