using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Interop.Cuda;
using Xunit;

namespace LazyLlm.Native.Tests.Interop.Cuda;

/// <summary>Sizes and offsets of what cuda.h declares for 64-bit systems.</summary>
public sealed class CuStructsTests
{
    [Fact]
    public void Sizes_are_those_of_the_header()
    {
        Assert.Equal(56, Unsafe.SizeOf<CuLaunchConfig>());
        Assert.Equal(72, Unsafe.SizeOf<CuLaunchAttribute>());
        Assert.Equal(32, Unsafe.SizeOf<CuMemAllocationProp>());
        Assert.Equal(12, Unsafe.SizeOf<CuMemAccessDesc>());
        Assert.Equal(24, Unsafe.SizeOf<CuGraphExecUpdateResultInfo>());
        Assert.Equal(128, Unsafe.SizeOf<CuTensorMap>());
    }

    [Theory]
    [InlineData(typeof(CuLaunchConfig), nameof(CuLaunchConfig.SharedBytes), 24)]
    [InlineData(typeof(CuLaunchConfig), nameof(CuLaunchConfig.Stream), 32)]
    [InlineData(typeof(CuLaunchConfig), nameof(CuLaunchConfig.Attributes), 40)]
    [InlineData(typeof(CuLaunchConfig), nameof(CuLaunchConfig.AttributeCount), 48)]
    [InlineData(typeof(CuLaunchAttribute), nameof(CuLaunchAttribute.X), 8)]
    [InlineData(typeof(CuMemAllocationProp), nameof(CuMemAllocationProp.Location), 8)]
    [InlineData(typeof(CuMemAllocationProp), nameof(CuMemAllocationProp.Win32HandleMetaData), 16)]
    [InlineData(typeof(CuMemAccessDesc), nameof(CuMemAccessDesc.Flags), 8)]
    [InlineData(typeof(CuGraphExecUpdateResultInfo), nameof(CuGraphExecUpdateResultInfo.ErrorNode), 8)]
    public void Offsets_are_those_of_the_header(Type type, string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf(type, field));
}
