using System.Diagnostics;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;

namespace LazyLlm.Native.Scheduling;

/// <content>The scheduler's thread.</content>
public sealed partial class Scheduler
{
    private readonly List<ScheduledRun> _group = [];
    private readonly List<ScheduledRun> _decoding = [];
    private int _lastPrefill;
    private long _measured;
    private long _memoryInUse;
    private long _keyValueBytes;
    private long _auxBytes;

    private void Run()
    {
        while (WaitForWork())
        {
            try
            {
                DecodeAll();
                AdvancePrefill();
            }
            catch (Exception error)
            {
                // Not a request's own failure: nobody can go on.
                EndAll(error);
            }

            if (Stopwatch.GetElapsedTime(_measured) > MeasurePeriod)
            {
                Measure();
            }
        }

        lock (_gate)
        {
            _prefixes.Dispose();
            MeasureLocked();
        }

        _stopped.TrySetResult();
    }

    /// <summary>Ends requests whose time is up, admits others, and sleeps while there is nothing to do.</summary>
    /// <returns>False once the scheduler has stopped and is empty.</returns>
    private bool WaitForWork()
    {
        lock (_gate)
        {
            while (true)
            {
                _isWoken = false;
                for (int i = _running.Count - 1; i >= 0; i--)
                {
                    if (_running[i].Answer.Verdict() is Exception verdict)
                    {
                        EndLocked(_running[i], verdict);
                    }
                }

                SweepQueue();
                Admit();
                if (HasWork())
                {
                    return true;
                }

                if (_isStopping && _running.Count == 0 && _queue.Count == 0)
                {
                    return false;
                }

                MeasureLocked();
                if (!_isWoken)
                {
                    Monitor.Wait(_gate, NextDeadline());
                }
            }
        }
    }

    private bool HasWork()
    {
        foreach (ScheduledRun run in _running)
        {
            if (run.NeedsPrefill || !run.Answer.IsReaderSlow)
            {
                return true;
            }
        }

        return false;
    }

    private int NextDeadline()
    {
        TimeSpan next = TimeSpan.MaxValue;
        foreach (ScheduledAnswer answer in _queue.Concat(_running.Select(r => r.Answer)))
        {
            if (answer.TimeLimit is TimeSpan limit && limit - answer.Age < next)
            {
                next = limit - answer.Age;
            }
        }

        return next == TimeSpan.MaxValue ? Timeout.Infinite : (int)Math.Clamp(next.TotalMilliseconds + 1, 1, 60_000);
    }

    private void SweepQueue()
    {
        for (LinkedListNode<ScheduledAnswer>? node = _queue.First; node is not null;)
        {
            LinkedListNode<ScheduledAnswer> current = node;
            node = node.Next;
            if (current.Value.Verdict() is Exception verdict)
            {
                _queue.Remove(current);
                EngineMetrics.RecordRequests(-1, 0);
                current.Value.End(verdict);
            }
        }
    }

    private void Admit()
    {
        while (_queue.First is { Value: ScheduledAnswer answer } && _running.Count < Options.RunningLimit)
        {
            while (Promised + answer.PromisedBytes > MemoryBudget && _prefixes.DropOldest())
            {
            }

            // What has outgrown its estimate must not lock out a request that would fit alone.
            if (Promised + answer.PromisedBytes > MemoryBudget && _running.Count > 0)
            {
                return;
            }

            _queue.RemoveFirst();
            EngineMetrics.RecordRequests(-1, 0);
            try
            {
                _running.Add(new ScheduledRun(_engine, _prefixes, answer));
                EngineMetrics.RecordRequests(0, 1);
                answer.Enter(RequestState.Prefill);
            }
            catch (Exception error)
            {
                NoteFault(error);
                answer.End(error);
            }
        }
    }

    /// <summary>One token for every request that decodes, those of like cuts in one pass.</summary>
    private void DecodeAll()
    {
        _decoding.Clear();
        foreach (ScheduledRun run in _running)
        {
            if (!run.NeedsPrefill && !run.Answer.IsReaderSlow)
            {
                _decoding.Add(run);
            }
        }

        while (_decoding.Count > 0)
        {
            _group.Clear();
            ScheduledRun first = _decoding[0];
            for (int i = 0; i < _decoding.Count;)
            {
                if (first.SharesCutsWith(_decoding[i]))
                {
                    _group.Add(_decoding[i]);
                    _decoding.RemoveAt(i);
                }
                else
                {
                    i++;
                }
            }

            if (!TryDecode(_group, out Exception? failure))
            {
                DecodeAlone(failure!);
            }
        }
    }

    /// <summary>After a failed step, which was undone: the requests it served go on one by one, and those that fail again end.</summary>
    private void DecodeAlone(Exception failure)
    {
        NoteFault(failure);
        ScheduledRun[] runs = [.. _group];
        foreach (ScheduledRun run in runs)
        {
            _group.Clear();
            _group.Add(run);
            if (runs.Length == 1 || _fault is not null || !TryDecode(_group, out failure!))
            {
                End(run, failure);
            }
        }
    }

    private bool TryDecode(List<ScheduledRun> group, out Exception? failure)
    {
        ForwardPass pass = _engine.RentPass();
        int added = 0;
        failure = null;
        try
        {
            pass.Begin();
            foreach (ScheduledRun run in group)
            {
                pass.Add(run.Sequence, [run.NextToken]);
                added++;
            }

            while (pass.Advance())
            {
            }
        }
        catch (Exception error)
        {
            failure = error;
            try
            {
                if (added > 0)
                {
                    pass.Rollback();
                }
            }
            catch (DeviceException second)
            {
                NoteFault(second);
            }
        }

        for (int i = 0; failure is null && i < group.Count; i++)
        {
            Take(group[i], pass, i);
        }

        _engine.ReturnPass(pass);
        return failure is null;
    }

    /// <summary>Draws a token of its own for each request; bad logits end that request alone.</summary>
    private void Take(ScheduledRun run, ForwardPass pass, int index)
    {
        try
        {
            run.Take(pass.Logits(index));
        }
        catch (Exception error)
        {
            End(run, error);
            return;
        }

        GiveOut(run);
    }

    /// <summary>The next prompt in turn goes one layer further.</summary>
    private void AdvancePrefill()
    {
        int open = 0;
        ScheduledRun? next = null;
        for (int i = 0; i < _running.Count; i++)
        {
            ScheduledRun run = _running[i];
            if (!run.NeedsPrefill || open == Options.PrefillLimit)
            {
                continue;
            }

            // The first ones in order of arrival are open; they take turns.
            if (open++ == _lastPrefill || next is null)
            {
                next = run;
            }
        }

        if (next is null)
        {
            return;
        }

        _lastPrefill = (_lastPrefill + 1) % Math.Max(1, open);
        try
        {
            if (!next.AdvancePrefill(_prefixes))
            {
                return;
            }
        }
        catch (Exception error)
        {
            NoteFault(error);
            End(next, error);
            return;
        }

        next.Answer.Enter(RequestState.Decode);
        GiveOut(next);
    }

    /// <summary>Hands the token drawn last to its reader. The last one of an answer comes after its memory is back.</summary>
    private void GiveOut(ScheduledRun run)
    {
        GeneratedToken token = run.Last;
        if (token.Finish == FinishReason.None)
        {
            run.Answer.Write(token);
            return;
        }

        Close(run);
        run.Answer.Write(token);
        run.Answer.End(null);
    }

    private void End(ScheduledRun run, Exception failure)
    {
        lock (_gate)
        {
            EndLocked(run, failure);
        }
    }

    private void EndLocked(ScheduledRun run, Exception failure)
    {
        Close(run);
        run.Answer.End(failure);
    }

    private void Close(ScheduledRun run)
    {
        lock (_gate)
        {
            _running.Remove(run);
            EngineMetrics.RecordRequests(0, -1);
            run.Close();
            MeasureLocked();
        }
    }

    private void NoteFault(Exception error)
    {
        if (error is not DeviceLostException lost)
        {
            return;
        }

        lock (_gate)
        {
            _fault ??= lost;
            foreach (ScheduledAnswer answer in _queue)
            {
                EngineMetrics.RecordRequests(-1, 0);
                answer.End(lost.Repeat());
            }

            _queue.Clear();
        }
    }

    private void EndAll(Exception error)
    {
        lock (_gate)
        {
            NoteFault(error);
            while (_running.Count > 0)
            {
                EndLocked(_running[^1], error);
            }
        }
    }

    private void Measure()
    {
        lock (_gate)
        {
            MeasureLocked();
        }
    }

    private void MeasureLocked()
    {
        _measured = Stopwatch.GetTimestamp();
        _memoryInUse = _prefixes.Bytes;
        (long keyValueBytes, long auxBytes) = (_prefixes.KeyValueBytes, _prefixes.AuxBytes);
        foreach (ScheduledRun run in _running)
        {
            run.Measure();
            _memoryInUse += run.MeasuredBytes;
            keyValueBytes += run.Sequence.Memory.KeyValueBytes;
            auxBytes += run.Sequence.Memory.AuxBytes;
        }

        EngineMetrics.RecordCaches(keyValueBytes - _keyValueBytes, auxBytes - _auxBytes);
        (_keyValueBytes, _auxBytes) = (keyValueBytes, auxBytes);
    }
}
