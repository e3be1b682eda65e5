using System.Diagnostics;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;

namespace LazyLlm.Native.Scheduling;

/// <content>
/// The scheduler's thread. It alone changes the list of running requests, under the lock, and reads it without; what the
/// device does, it does outside the lock, so that callers and monitors never wait for a step.
/// </content>
public sealed partial class Scheduler
{
    private readonly List<(ScheduledAnswer Answer, Exception Verdict)> _over = [];
    private readonly DecodeRound _decode;
    private int _lastPrefill;
    private long _measured;
    private long _memoryInUse;
    private long _keyValueBytes;
    private long _auxBytes;

    private void Run()
    {
        try
        {
            while (WaitForWork())
            {
                try
                {
                    _decode.Run(_running);
                    AdvancePrefill();
                }
                catch (Exception error)
                {
                    // Not a request's own failure: nobody can go on.
                    EndAll(_ => error);
                }

                if (Stopwatch.GetElapsedTime(_measured) > MeasurePeriod)
                {
                    Measure();
                }
            }

            _prefixes.Dispose();
            _decode.Dispose();
            Measure();
        }
        finally
        {
            _engine.Release();
            _stopped.TrySetResult();
        }
    }

    /// <summary>Ends requests whose time is up, admits others, and sleeps while there is nothing to do.</summary>
    /// <returns>False once the scheduler has stopped and is empty.</returns>
    private bool WaitForWork()
    {
        while (true)
        {
            lock (_gate)
            {
                _isWoken = false;
            }

            EndWhatIsOver();
            Admit();
            if (HasWork())
            {
                return true;
            }

            Measure();
            lock (_gate)
            {
                if (_isStopping && _running.Count == 0 && _queue.Count == 0)
                {
                    return false;
                }

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
            if (run.NeedsPrefill || run.CanDecode)
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

    private void EndWhatIsOver()
    {
        if (Fault is DeviceLostException lost)
        {
            EndAll(_ => lost.Repeat());
            return;
        }

        for (int i = _running.Count - 1; i >= 0; i--)
        {
            if (_running[i].Answer.Verdict() is Exception verdict)
            {
                End(_running[i], verdict);
            }
        }

        SweepQueue(static answer => answer.Verdict());
    }

    /// <summary>Ends the waiting requests for which there is a reason to.</summary>
    private void SweepQueue(Func<ScheduledAnswer, Exception?> reason)
    {
        lock (_gate)
        {
            for (LinkedListNode<ScheduledAnswer>? node = _queue.First; node is not null;)
            {
                LinkedListNode<ScheduledAnswer> current = node;
                node = node.Next;
                if (reason(current.Value) is Exception verdict)
                {
                    _queue.Remove(current);
                    _over.Add((current.Value, verdict));
                }
            }
        }

        foreach ((ScheduledAnswer answer, Exception verdict) in _over)
        {
            EngineMetrics.RecordRequests(-1, 0);
            answer.End(verdict);
        }

        _over.Clear();
    }

    private void Admit()
    {
        while (_running.Count < Options.RunningLimit && FirstInQueue() is ScheduledAnswer answer)
        {
            while (Promised + answer.PromisedBytes > MemoryBudget && _prefixes.DropOldest())
            {
            }

            // What has outgrown its estimate must not lock out a request that would fit alone.
            if (Promised + answer.PromisedBytes > MemoryBudget && _running.Count > 0)
            {
                return;
            }

            ScheduledRun? run = null;
            Exception? failure = null;
            try
            {
                run = new ScheduledRun(_engine, _prefixes, answer);
            }
            catch (Exception error)
            {
                failure = error;
            }

            lock (_gate)
            {
                _queue.Remove(answer);
                if (run is not null)
                {
                    answer.Enter(RequestState.Prefill);
                    _running.Add(run);
                }
            }

            EngineMetrics.RecordRequests(-1, run is null ? 0 : 1);
            if (run is null)
            {
                answer.End(failure);
            }
        }
    }

    private ScheduledAnswer? FirstInQueue()
    {
        lock (_gate)
        {
            return _queue.First?.Value;
        }
    }

    /// <summary>The next prompt in turn goes one layer further.</summary>
    private void AdvancePrefill()
    {
        int open = 0;
        ScheduledRun? next = null;
        for (int i = 0; i < _running.Count && open < Options.PrefillLimit; i++)
        {
            // The first ones in order of arrival are open; they take turns.
            ScheduledRun run = _running[i];
            if (run.NeedsPrefill && (open++ == _lastPrefill || next is null))
            {
                next = run;
            }
        }

        if (next is null)
        {
            return;
        }

        _lastPrefill = (_lastPrefill + 1) % open;
        try
        {
            if (!next.AdvancePrefill(_prefixes))
            {
                return;
            }
        }
        catch (Exception error)
        {
            End(next, error);
            return;
        }

        next.Answer.Enter(RequestState.Decode);
        GiveOut(next);
    }

    private void GoOn(ScheduledRun run, Exception? failure)
    {
        if (failure is null)
        {
            GiveOut(run);
        }
        else
        {
            End(run, failure);
        }
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
        Close(run);
        run.Answer.End(failure);
    }

    private void Close(ScheduledRun run)
    {
        run.Close();
        lock (_gate)
        {
            _running.Remove(run);
        }

        EngineMetrics.RecordRequests(0, -1);
        Measure();
    }

    private void EndAll(Func<ScheduledAnswer, Exception> reason)
    {
        while (_running.Count > 0)
        {
            End(_running[^1], reason(_running[^1].Answer));
        }

        SweepQueue(reason);
    }

    private void Measure()
    {
        long memoryInUse = _prefixes.Bytes;
        (long keyValueBytes, long auxBytes) = (_prefixes.KeyValueBytes, _prefixes.AuxBytes);
        foreach (ScheduledRun run in _running)
        {
            run.Measure();
            memoryInUse += run.MeasuredBytes;
            keyValueBytes += run.Sequence.Memory.KeyValueBytes;
            auxBytes += run.Sequence.Memory.AuxBytes;
        }

        EngineMetrics.RecordCaches(keyValueBytes - _keyValueBytes, auxBytes - _auxBytes);
        lock (_gate)
        {
            _measured = Stopwatch.GetTimestamp();
            (_memoryInUse, _keyValueBytes, _auxBytes) = (memoryInUse, keyValueBytes, auxBytes);
        }
    }
}
