using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using Xunit;

namespace LazyLlm.Native.Tests.Diagnostics;

public class OperationCountTests
{
    private static readonly ModelConfig Shape = ModelShapes.Find("tiny") with { LayerCount = 2 };

    /// <summary>Every product and every score of a dense prefill, one by one; of the last layer, K and V and the newest row.</summary>
    [Fact]
    public void A_dense_prefill_is_the_sum_of_its_products_and_scores()
    {
        const int length = 7;
        double products = Shape.HiddenSize * (Shape.QueryWidth + (2 * Shape.KeyValueWidth)) + (Shape.QueryWidth * Shape.HiddenSize) + (3 * Shape.HiddenSize * Shape.IntermediateSize);
        double cached = 2 * Shape.HiddenSize * Shape.KeyValueWidth;
        double operations = 2 * Shape.VocabularySize * Shape.HiddenSize;
        for (int row = 0; row < length; row++)
        {
            double whole = (2 * products) + (4 * (row + 1) * Shape.QueryWidth);
            operations += ((Shape.LayerCount - 1) * whole) + (row == length - 1 ? whole : 2 * cached);
        }

        Assert.Equal(operations, OperationCount.Prefill(Shape, PruningSchedule.None.PlanFor(2), length));
    }

    [Fact]
    public void Keeping_half_of_one_layer_of_three_spares_half_of_its_rows()
    {
        ModelConfig shape = Shape with { LayerCount = 3 };
        double cached = 2 * Shape.HiddenSize * Shape.KeyValueWidth;
        double dense = OperationCount.Prefill(shape, PruningSchedule.None.PlanFor(3), 8);
        double pruned = OperationCount.Prefill(shape, PruningSchedule.Parse("1:0.5").PlanFor(3), 8);
        double middle = (4 * 2 * OperationCount.LayerWeights(shape)) + (4 * (36 - 10) * shape.QueryWidth);
        double last = (4 * 2 * cached) + (4 * (8 - 4) * shape.QueryWidth);
        Assert.Equal(middle + last, dense - pruned);
        Assert.Equal(dense, OperationCount.Prefill(shape, PruningSchedule.Parse("1:1").PlanFor(3), 8));
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
