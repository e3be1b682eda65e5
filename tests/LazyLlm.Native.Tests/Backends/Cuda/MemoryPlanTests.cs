using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

public class MemoryPlanTests
{
    private static readonly ModelConfig Llama7B = KernelBench.Config(4096, 11008, 32, 32, 128) with
    {
        LayerCount = 32,
        VocabularySize = 32000,
        ContextLength = 4096,
    };

    [Fact]
    public void Llama_2_7B_takes_what_its_numbers_say()
    {
        MemoryPlan plan = MemoryPlan.For(new DeviceShape(Llama7B, TensorType.BFloat16), 4096);

        // 6.738 billion weights of 2 bytes; the norms are float32 here, and the rotary table comes on top.
        Assert.InRange(plan.WeightBytes, 13_476_000_000, 13_483_000_000);

        // K and V: 2 x 4096 x 32 x 2 bytes per position.
        Assert.InRange(plan.BytesPerPosition, 524_288, 524_288 + 200_000);
    }

    [Fact]
    public void What_fits_is_not_refused()
    {
        MemoryPlan plan = MemoryPlan.For(new DeviceShape(Llama7B, TensorType.BFloat16), 4096);
        plan.Check(plan.TotalBytes, "a GPU");
    }

    [Fact]
    public void Too_little_memory_says_how_much_is_missing_and_which_context_fits()
    {
        var shape = new DeviceShape(Llama7B, TensorType.BFloat16);
        MemoryPlan plan = MemoryPlan.For(shape, 4096);
        long free = plan.TotalBytes - 1_000_000_000;
        DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => plan.Check(free, "a GPU"));
        Assert.Equal(plan.TotalBytes, error.RequestedBytes);
        Assert.Contains("1,000,000,000 too few", error.Message, StringComparison.Ordinal);
        int start = error.Message.IndexOf("A context of ", StringComparison.Ordinal) + "A context of ".Length;
        int fits = int.Parse(error.Message[start..error.Message.IndexOf(" tokens would fit", StringComparison.Ordinal)], System.Globalization.NumberStyles.AllowThousands);
        Assert.InRange(fits, 1, 4095);
        MemoryPlan.For(shape, fits).Check(free, "a GPU");
        Assert.Throws<DeviceMemoryException>(() => MemoryPlan.For(shape, fits + 2).Check(free, "a GPU"));
    }

    [Fact]
    public void Where_float32_is_too_much_the_other_precision_is_named()
    {
        MemoryPlan half = MemoryPlan.For(new DeviceShape(Llama7B, TensorType.BFloat16), 4096);
        MemoryPlan full = MemoryPlan.For(new DeviceShape(Llama7B, TensorType.Float32), 4096);
        DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => full.Check(half.TotalBytes, "a GPU"));
        Assert.Contains("bf16", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(8, 2, 2, true)]
    [InlineData(128, 32, 8, true)]
    [InlineData(12, 2, 2, false)]
    [InlineData(256, 2, 2, false)]
    public void Head_sizes_beyond_the_kernels_are_refused_by_name(int headSize, int heads, int keyValueHeads, bool supported)
    {
        ModelConfig config = KernelBench.Config(64, 64, heads, keyValueHeads, headSize);
        if (supported)
        {
            CudaSupport.Check(config);
        }
        else
        {
            DeviceException error = Assert.Throws<DeviceException>(() => CudaSupport.Check(config));
            Assert.Contains($"head size {headSize}", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_context_that_tokens_cannot_be_chosen_from_is_refused_by_name()
    {
        CudaSupport.CheckContext(2_097_152);
        DeviceException error = Assert.Throws<DeviceException>(() => CudaSupport.CheckContext(2_097_153));
        Assert.Contains("a context of 2,097,153 tokens; they support up to 2,097,152", error.Message, StringComparison.Ordinal);
    }
}
