using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Scheduling;

/// <summary>
/// What a request will need: K and V of the positions that its schedule keeps at its final length, plus one row per
/// generated token in every stage; the Aux cache; growth reserve; and the rows of its prompt. Positions that come back
/// later add to it, so it is an estimate, never above the dense need by more than the Aux cache and the reserve.
/// </summary>
internal sealed class MemoryEstimate(ModelConfig config, int contextLength, long keyValueBytes)
{
    /// <summary>Bytes for a prompt and an answer of at most so many tokens.</summary>
    public long Of(StagePlan plan, int promptTokens, int? maxTokens)
    {
        long generated = Math.Min(maxTokens ?? contextLength, contextLength - promptTokens);
        int length = promptTokens + (int)generated;
        long caches = (long)length * config.HiddenSize * sizeof(float);
        int seen = length;
        foreach (Stage stage in plan.Stages)
        {
            seen = plan.KeepCount(stage, length, seen);
            caches += Math.Min(length, seen + generated) * stage.LayerCount * keyValueBytes;
        }

        // Caches that grow token by token reserve a quarter ahead.
        long row = (2L * config.HiddenSize) + (2L * config.QueryWidth) + (2L * config.KeyValueWidth) + config.IntermediateSize;
        return (generated > 1 ? caches + (caches / 4) : caches) + (promptTokens * row * sizeof(float));
    }
}
