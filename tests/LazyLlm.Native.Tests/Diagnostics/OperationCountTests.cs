using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using Xunit;

namespace LazyLlm.Native.Tests.Diagnostics;

public class OperationCountTests
{
    private static readonly ModelConfig Shape = ModelShapes.Find("tiny") with { LayerCount = 2 };

    /// <summary>Every product and every score of a dense prefill, one by one.</summary>
    [Fact]
    public void A_dense_prefill_is_the_sum_of_its_products_and_scores()
    {
        const int length = 7;
        double products = Shape.HiddenSize * (Shape.QueryWidth + (2 * Shape.KeyValueWidth)) + (Shape.QueryWidth * Shape.HiddenSize) + (3 * Shape.HiddenSize * Shape.IntermediateSize);
        double operations = 2 * Shape.VocabularySize * Shape.HiddenSize;
        for (int row = 0; row < length; row++)
        {
            operations += Shape.LayerCount * ((2 * products) + (4 * (row + 1) * Shape.QueryWidth));
        }

        Assert.Equal(operations, OperationCount.Prefill(Shape, PruningSchedule.None.PlanFor(2), length));
    }

    [Fact]
    public void Keeping_half_of_one_layer_of_two_spares_half_of_its_rows()
    {
        double dense = OperationCount.Prefill(Shape, PruningSchedule.None.PlanFor(2), 8);
        double pruned = OperationCount.Prefill(Shape, PruningSchedule.Parse("1:0.5").PlanFor(2), 8);
        Assert.Equal((4 * 2 * OperationCount.LayerWeights(Shape)) + (4 * (36 - 10) * Shape.QueryWidth), dense - pruned);
        Assert.Equal(dense, OperationCount.Prefill(Shape, PruningSchedule.Parse("1:1").PlanFor(2), 8));
    }

    /// <summary>What the README of the measurements says: 13.2 GB of weights and 2.1 GB of K/V at 4,096 positions.</summary>
    [Fact]
    public void A_decode_step_reads_weights_and_what_its_stages_see()
    {
        StagePlan plan = PruningSchedule.None.PlanFor(ModelShapes.Llama2.LayerCount);
        Assert.Equal(13.2e9, OperationCount.DecodeBytes(ModelShapes.Llama2, plan, 0, 2, 2), 0.05e9);
        Assert.Equal(2.15e9, OperationCount.DecodeBytes(ModelShapes.Llama2, plan, 4096, 2, 2) - OperationCount.DecodeBytes(ModelShapes.Llama2, plan, 0, 2, 2), 0.01e9);
    }
}
