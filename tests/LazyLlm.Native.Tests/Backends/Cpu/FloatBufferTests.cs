using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Errors;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

public unsafe class FloatBufferTests
{
    [Fact]
    public void Growing_keeps_what_is_there()
    {
        using var buffer = new FloatBuffer();
        buffer.Grow(3);
        new Span<float>(buffer.Pointer, 3).Fill(7);
        buffer.Grow(1000);
        Assert.Equal([7f, 7f, 7f], new Span<float>(buffer.Pointer, 3).ToArray());
        Assert.Equal(0, (nint)buffer.Pointer % 64);
        Assert.Equal(4000, buffer.AllocatedBytes);
        buffer.Grow(10);
        Assert.Equal(1000, buffer.Capacity);
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue / 8)]
    public void Too_much_is_an_error_that_says_how_much(long count)
    {
        using var buffer = new FloatBuffer();
        buffer.Grow(4);
        buffer.Pointer[3] = 5;
        DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => buffer.Grow(count));
        Assert.True(error.RequestedBytes is < 0 or > 1L << 50);
        Assert.Equal(5, buffer.Pointer[3]);
        Assert.Throws<DeviceMemoryException>(() => { _ = buffer.Reserve(count); });
        Assert.Equal(0, buffer.Capacity);
        buffer.Reserve(8)[7] = 1;
    }
}
