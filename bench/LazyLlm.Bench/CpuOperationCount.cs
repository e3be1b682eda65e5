using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Bench;

/// <summary>What a step has to do at least, by counting.</summary>
internal static class CpuOperationCount
{
    /// <summary>Floating-point operations of the products and the attention of a prefill of <paramref name="length"/> tokens.</summary>
    public static double Prefill(ModelConfig config, StagePlan plan, int length)
    {
        double operations = 2.0 * config.VocabularySize * config.HiddenSize;
        int rows = length;
        foreach (Stage stage in plan.Stages)
        {
            rows = stage.Index == 0 ? length : plan.KeepCount(stage, length, rows);
            double pairs = rows * (rows + 1.0) / 2;
            operations += stage.LayerCount * ((2.0 * rows * LayerWeights(config)) + (4.0 * pairs * config.QueryWidth));
        }

        return operations;
    }

    /// <summary>Bytes that a decode step of one row must read: the weights of the products, and K and V of what each stage sees.</summary>
    public static double Decode(ModelConfig config, StagePlan plan, int length)
    {
        double bytes = 2.0 * config.VocabularySize * config.HiddenSize;
        int seen = length;
        foreach (Stage stage in plan.Stages)
        {
            seen = stage.Index == 0 ? length : plan.KeepCount(stage, length, seen);
            bytes += stage.LayerCount * ((2.0 * LayerWeights(config)) + (2.0 * sizeof(float) * seen * config.KeyValueWidth));
        }

        return bytes;
    }

    /// <summary>Numbers in a layer's four products.</summary>
    public static double LayerWeights(ModelConfig config) =>
        ((double)config.HiddenSize * ((2 * config.QueryWidth) + (2 * config.KeyValueWidth))) + (3.0 * config.HiddenSize * config.IntermediateSize);
}
