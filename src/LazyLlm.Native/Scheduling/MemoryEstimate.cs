using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Scheduling;

/// <summary>
/// What a request will need: K and V of the positions that its schedule keeps at its final length, plus one row per
/// generated token in every stage; the Aux cache; growth reserve; what an empty session takes; and the rows of its prompt.
/// Positions that come back later add to it, so it is an estimate, never above the dense need by more than the Aux cache
/// and the reserve.
/// </summary>
internal sealed class MemoryEstimate
{
    private readonly ModelConfig _config;
    private readonly int _contextLength;
    private readonly long _granularity;
    private readonly long _emptyBytes;
    private readonly long _keyValueBytes;

    /// <summary>Learns what an empty sequence takes on the engine's device.</summary>
    public MemoryEstimate(LlamaEngine engine)
    {
        _config = engine.Config;
        _contextLength = engine.ContextLength;
        _granularity = engine.CacheGranularity;
        using Sequence probe = engine.CreateSequence(PruningSchedule.None);
        engine.Release();
        _emptyBytes = probe.Memory.AllocatedBytes;
        _keyValueBytes = probe.Memory.KeyValueBytesPerTokenAndLayer;
    }

    /// <summary>Bytes for a prompt and an answer of at most so many tokens.</summary>
    public long Of(StagePlan plan, int promptTokens, int? maxTokens)
    {
        long generated = Math.Min(maxTokens ?? _contextLength, _contextLength - promptTokens);
        int length = promptTokens + (int)generated;

        // Caches that grow token by token reserve a quarter ahead.
        bool grows = generated > 1;
        long bytes = _emptyBytes + Cache((long)length * _config.HiddenSize * sizeof(float));
        int seen = length;
        foreach (Stage stage in plan.Stages)
        {
            seen = plan.KeepCount(stage, length, seen);
            bytes += Cache(Math.Min(length, seen + generated) * stage.LayerCount * _keyValueBytes);
        }

        long row = (2L * _config.HiddenSize) + (2L * _config.QueryWidth) + (2L * _config.KeyValueWidth) + _config.IntermediateSize;
        return bytes + (promptTokens * row * sizeof(float));

        long Cache(long needed)
        {
            long reserved = grows ? needed + (needed / 4) : needed;
            return (reserved + _granularity - 1) / _granularity * _granularity;
        }
    }
}
