using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Soak;

/// <summary>Requests to a scheduler in this process.</summary>
internal sealed class LibraryTraffic(LlamaEngine engine) : ITraffic
{
    private readonly Scheduler _scheduler = new(engine, new SchedulerOptions { QueueLimit = 5, RunningLimit = 8, UnreadLimit = 8, PrefixBudget = 32L << 20 });

    public int ProcessId => Environment.ProcessId;

    public async Task<Outcome> RequestAsync(SoakCase test, Behaviour behaviour, Random random)
    {
        if (behaviour == Behaviour.AskWrongly)
        {
            return AskWrongly(test.Request, random.Next(4));
        }

        using var leaving = new CancellationTokenSource();
        var tokens = new List<int>();
        try
        {
            await using ScheduledAnswer answer = _scheduler.Submit(test.Request, leaving.Token);
            int leaveAfter = behaviour == Behaviour.LeaveInAnswer ? 1 + random.Next(test.Tokens.Length) : int.MaxValue;
            if (behaviour == Behaviour.LeaveInTime)
            {
                leaving.CancelAfter(random.Next(60));
            }

            await foreach (GeneratedToken token in answer.ReadAllAsync())
            {
                tokens.Add(token.Id);
                if (tokens.Count >= leaveAfter)
                {
                    // One way to leave is as good as another.
                    if (random.Next(2) == 0)
                    {
                        break;
                    }

                    await leaving.CancelAsync();
                }

                if (behaviour == Behaviour.ReadSlowly)
                {
                    await Task.Delay(random.Next(40));
                }
            }
        }
        catch (OperationCanceledException) when (leaving.IsCancellationRequested)
        {
        }
        catch (QueueFullException)
        {
            return Outcome.TurnedAway;
        }

        if (!tokens.SequenceEqual(test.Tokens.Take(tokens.Count)))
        {
            throw new SoakFailure($"{test.Schedule}, {test.Request.Tokens.Length} tokens, {behaviour}: {string.Join(' ', tokens)} instead of {string.Join(' ', test.Tokens)}.");
        }

        return tokens.Count == test.Tokens.Length ? Outcome.Right
            : behaviour is Behaviour.LeaveInTime or Behaviour.LeaveInAnswer ? Outcome.Left
            : throw new SoakFailure($"{test.Schedule}: {tokens.Count} of {test.Tokens.Length} tokens came, and nobody had left.");
    }

    public Task<long?> BytesInUseAsync() => Task.FromResult<long?>(GC.GetTotalMemory(forceFullCollection: false));

    public async Task CheckEmptyAsync()
    {
        SchedulerStatus status = _scheduler.Status;
        if (status.Running != 0 || status.Waiting != 0 || status.MemoryInUse != status.MemoryPromised)
        {
            throw new SoakFailure($"After everybody has left: {status}.");
        }

        await _scheduler.StopAsync();
        if (_scheduler.Status.MemoryInUse != 0 || _scheduler.Status.KeyValueBytes != 0)
        {
            throw new SoakFailure($"After the stop: {_scheduler.Status}.");
        }
    }

    public ValueTask DisposeAsync()
    {
        _scheduler.Dispose();
        return ValueTask.CompletedTask;
    }

    private Outcome AskWrongly(GenerationRequest request, int kind)
    {
        try
        {
            _scheduler.Submit(kind switch
            {
                0 => request with { Tokens = new int[engine.ContextLength + 1] },
                1 => request with { Tokens = new[] { -1 } },
                2 => request with { Sampling = new SamplingOptions { Temperature = float.NaN } },
                _ => request with { SharedPrefix = request.Tokens.Length },
            });
        }
        catch (LazyLlmException error) when (error is not QueueFullException)
        {
            return Outcome.Refused;
        }

        throw new SoakFailure($"A wrong request (kind {kind}) was taken.");
    }
}
