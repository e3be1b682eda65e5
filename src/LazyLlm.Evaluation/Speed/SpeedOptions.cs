using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Speed;

/// <summary>What a <see cref="SpeedBenchmark"/> runs.</summary>
public sealed record SpeedOptions
{
    /// <summary>Lengths of the prompts, in tokens.</summary>
    public required IReadOnlyList<int> Lengths { get; init; }

    /// <summary>The schedules that are held against the dense model, which always runs too.</summary>
    public required IReadOnlyList<PruningSchedule> Schedules { get; init; }

    /// <summary>Sequences at a time; 1 is a session of its own, more go through the scheduler.</summary>
    public IReadOnlyList<int> Batches { get; init; } = [1];

    /// <summary>Tokens after the first one; 0 for the time to the first token alone.</summary>
    public int DecodeTokens { get; init; } = 32;

    /// <summary>Rounds that count. In each, every schedule runs once; every second round goes through them backwards.</summary>
    public int Rounds { get; init; } = 5;

    /// <summary>Rounds before those, which compile code, fill caches and count for nothing.</summary>
    public int WarmUps { get; init; } = 1;

    /// <summary>Seed of the prompts' tokens.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>What a profiler is told to collect, of the rounds that count.</summary>
    public ProfiledPart Profiled { get; init; }

    /// <summary>The first tokens of an answer, which do not count towards the time per token: a GPU records its steps in them.</summary>
    internal int UncountedTokens => Math.Min(8, DecodeTokens / 2);

    /// <summary>Checks everything against a model, before anything is run.</summary>
    /// <exception cref="InvalidOptionException">A value is out of range, or does not fit the model.</exception>
    public void Validate(LlamaEngine engine)
    {
        ArgumentNullException.ThrowIfNull(engine);
        Least("rounds", Rounds, 1);
        Least("warm-up rounds", WarmUps, 0);
        Least("tokens to decode", DecodeTokens, 0);
        foreach (int batch in Batches)
        {
            Least("batch", batch, 1);
        }

        foreach (int length in Lengths)
        {
            Least("length", length, 1);
            if ((long)length + DecodeTokens > engine.ContextLength)
            {
                throw new InvalidOptionException("length", $"{length} tokens and {DecodeTokens} after them exceed the context of {engine.ContextLength}.");
            }
        }

        foreach (PruningSchedule schedule in Schedules)
        {
            schedule.PlanFor(engine.Config.LayerCount);
        }

        if (Profiled is ProfiledPart.Prefill or ProfiledPart.Decode && Batches.Any(batch => batch > 1))
        {
            throw new InvalidOptionException("profiler range", "prompts and tokens of several sequences overlap, so they cannot be profiled apart; use batch 1, or profile all.");
        }

        if (Profiled == ProfiledPart.Decode && DecodeTokens == 0)
        {
            throw new InvalidOptionException("profiler range", "no tokens are decoded, so there is nothing of them to profile.");
        }

        static void Least(string name, int value, int least)
        {
            if (value < least)
            {
                throw new InvalidOptionException(name, $"found {value}, expected {least} or more.");
            }
        }
    }
}
