using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Scheduling;

/// <summary>A request that holds a sequence. Lives on the scheduler's thread.</summary>
internal sealed class ScheduledRun
{
    private readonly LlamaEngine _engine;
    private readonly Answer _tokens;
    private readonly RunClock _clock;
    private readonly List<StageTrace> _stageTraces = [];
    private ForwardPass? _prefill;
    private int _promptTaken;

    /// <summary>Gives a request a sequence: an empty one, or a copy of its saved prefix.</summary>
    public ScheduledRun(LlamaEngine engine, PrefixStore prefixes, ScheduledAnswer answer)
    {
        _engine = engine;
        Answer = answer;
        ReadOnlySpan<int> prompt = answer.Request.Tokens.Span;
        int shared = answer.Request.SharedPrefix;
        Sequence? copy = shared > 0 ? prefixes.TryFork(answer.Request.Schedule, prompt[..shared]) : null;
        Sequence = copy ?? engine.CreateSequence(answer.Request.Schedule);
        try
        {
            _promptTaken = copy is null ? 0 : shared;
            answer.ReusedTokens = _promptTaken;
            _clock = new RunClock(Sequence, answer.Submitted) { PromptTokens = prompt.Length };
            _tokens = new Answer(engine, answer.Request.Sampling, prompt);
        }
        catch
        {
            Free();
            throw;
        }
    }

    /// <summary>What the caller holds.</summary>
    public ScheduledAnswer Answer { get; }

    /// <summary>The request's positions and caches.</summary>
    public Sequence Sequence { get; }

    /// <summary>The token that the next decode step takes.</summary>
    public int NextToken { get; private set; }

    /// <summary>Bytes that its caches took when last measured.</summary>
    public long MeasuredBytes { get; private set; }

    /// <summary>Whether the prompt has not been computed yet.</summary>
    public bool NeedsPrefill => _promptTaken < Answer.Request.Tokens.Length;

    /// <summary>Whether it can take a decode step: its prompt is computed, and its reader keeps up.</summary>
    public bool CanDecode => !NeedsPrefill && !Answer.IsReaderSlow;

    /// <summary>Measures the caches.</summary>
    public void Measure() => MeasuredBytes = Sequence.Memory.AllocatedBytes;

    /// <summary>Whether two runs' layers are cut at the same places, so that they can share a pass.</summary>
    public bool SharesCutsWith(ScheduledRun other)
    {
        StagePlan plan = Sequence.Plan;
        StagePlan theirs = other.Sequence.Plan;
        if (plan.Stages.Length != theirs.Stages.Length)
        {
            return false;
        }

        for (int i = 1; i < plan.Stages.Length; i++)
        {
            if (plan.Stages[i].FirstLayer != theirs.Stages[i].FirstLayer)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Runs one layer of the prompt's step under way, or of the next one.</summary>
    /// <returns>Whether the prompt is computed; the first token has then been given out.</returns>
    public bool AdvancePrefill(PrefixStore prefixes)
    {
        ReadOnlySpan<int> prompt = Answer.Request.Tokens.Span;
        int shared = Answer.Request.SharedPrefix;
        int end = _promptTaken < shared ? shared : prompt.Length;
        if (_prefill is null)
        {
            BeginStep(prompt[_promptTaken..end]);
        }

        bool isUnfinished = _prefill!.Advance();
        Answer.PrefillLayers = _prefill.Layer;
        if (isUnfinished)
        {
            return false;
        }

        ForwardPass pass = _prefill;
        _promptTaken = end;
        if (end < prompt.Length)
        {
            Return(pass);
            prefixes.TrySave(Answer.Request.Schedule, prompt[..end], Sequence);
            return false;
        }

        if (Answer.Request.Tracing)
        {
            Answer.PrefillTrace = new StepTrace(Sequence.Length, [.. _stageTraces]);
        }

        Take(pass.Logits());
        Return(pass);
        return true;
    }

    /// <summary>The token drawn last, not given out yet.</summary>
    public GeneratedToken Last { get; private set; }

    /// <summary>Draws the next token from the logits of a finished step.</summary>
    public void Take(ReadOnlySpan<float> logits)
    {
        GeneratedToken token = _tokens.Next(logits, hasRoom: Sequence.Length < Sequence.Capacity);
        _clock.CountToken();
        NextToken = token.Id;
        Last = token;
    }

    /// <summary>Undoes what is under way, notes the figures and frees everything.</summary>
    public void Close()
    {
        if (_prefill is ForwardPass pass)
        {
            try
            {
                pass.Rollback();
            }
            catch (DeviceException)
            {
                // The sequence goes anyway; the device's state shows at the next operation.
            }

            Return(pass);
        }

        RunStatistics statistics = _clock.Read(Sequence, _engine.Config.LayerCount);
        Answer.Statistics = statistics;
        EngineMetrics.RecordRun(statistics, Answer.StartAge);
        Free();
    }

    private void BeginStep(ReadOnlySpan<int> tokens)
    {
        ForwardPass pass = _engine.RentPass();
        try
        {
            pass.Begin();
            pass.Add(Sequence, tokens);
        }
        catch
        {
            _engine.ReturnPass(pass);
            throw;
        }

        _stageTraces.Clear();
        pass.StageEntered = Answer.Request.Tracing ? (sequence, stage) => _stageTraces.Add(StageTrace.Of(sequence, stage)) : null;
        _prefill = pass;
    }

    private void Return(ForwardPass pass)
    {
        _prefill = null;
        pass.StageEntered = null;
        _engine.ReturnPass(pass);
    }

    private void Free()
    {
        Sequence.Dispose();
        _engine.Release();
    }
}
