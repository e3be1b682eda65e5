using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Kernels;

/// <summary>Which kernels a GPU gets.</summary>
[Collection(EnvironmentTests.Name)]
public class KernelVariantTests
{
    [Theory]
    [InlineData(8, 0, null, false)]
    [InlineData(9, 0, null, true)]
    [InlineData(9, 0, "0", true)]
    [InlineData(9, 0, "1", false)]
    [InlineData(10, 0, null, false)]
    public void Hopper_gets_its_own_unless_told_otherwise(int major, int minor, string? portable, bool expected)
    {
        const string name = "LAZYLLM_PORTABLE_KERNELS";
        string? before = Environment.GetEnvironmentVariable(name);
        try
        {
            Environment.SetEnvironmentVariable(name, portable);
            Assert.Equal(expected, KernelVariant.TakesHopper(new ComputeCapability(major, minor)));
        }
        finally
        {
            Environment.SetEnvironmentVariable(name, before);
        }
    }
}
