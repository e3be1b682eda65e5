using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Diagnostics;

/// <summary>What a step has to do at least, by counting: what a measured time is held against.</summary>
public static class OperationCount
{
    /// <summary>Floating-point operations of the products and the attention of a prefill.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="plan">The schedule, cut to the model.</param>
    /// <param name="length">Tokens of the prompt.</param>
    public static double Prefill(ModelConfig config, StagePlan plan, int length)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(plan);
        double operations = 2.0 * config.VocabularySize * config.HiddenSize;
        foreach ((Stage stage, int seen) in Seen(plan, length))
        {
            double pairs = seen * (seen + 1.0) / 2;
            int wholeLayers = stage.EndLayer == plan.LayerCount ? stage.LayerCount - 1 : stage.LayerCount;
            operations += wholeLayers * ((2.0 * seen * LayerWeights(config)) + (4.0 * pairs * config.QueryWidth));
            if (wholeLayers < stage.LayerCount)
            {
                // Of the model's last layer, K and V of all positions and the newest position's row.
                double cached = 2.0 * config.HiddenSize * config.KeyValueWidth;
                operations += (2.0 * seen * cached) + (2.0 * (LayerWeights(config) - cached)) + (4.0 * seen * config.QueryWidth);
            }
        }

        return operations;
    }

    /// <summary>Bytes that a decode step of one row must read: the weights of the products and of the output head, and K and V of what each stage sees.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="plan">The schedule, cut to the model.</param>
    /// <param name="length">Positions of the context.</param>
    /// <param name="weightSize">Bytes of a weight.</param>
    /// <param name="keyValueSize">Bytes of a number of K or V.</param>
    public static double DecodeBytes(ModelConfig config, StagePlan plan, int length, int weightSize, int keyValueSize)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(plan);
        double bytes = (double)weightSize * config.VocabularySize * config.HiddenSize;
        foreach ((Stage stage, int seen) in Seen(plan, length))
        {
            bytes += stage.LayerCount * ((weightSize * LayerWeights(config)) + (2.0 * keyValueSize * seen * config.KeyValueWidth));
        }

        return bytes;
    }

    /// <summary>Numbers in a layer's four products.</summary>
    /// <param name="config">The model's shape.</param>
    public static double LayerWeights(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return ((double)config.HiddenSize * ((2 * config.QueryWidth) + (2 * config.KeyValueWidth))) + (3.0 * config.HiddenSize * config.IntermediateSize);
    }

    private static IEnumerable<(Stage Stage, int Seen)> Seen(StagePlan plan, int length)
    {
        int seen = length;
        foreach (Stage stage in plan.Stages)
        {
            seen = stage.Index == 0 ? length : plan.KeepCount(stage, length, seen);
            yield return (stage, seen);
        }
    }
}
