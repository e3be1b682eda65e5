using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

public class TensorConversionTests
{
    [Theory]
    [InlineData(1f, 0x3F80)]
    [InlineData(-0f, 0x8000)]
    [InlineData(1.00390625f, 0x3F80)] // half-way between two, to the even one below
    [InlineData(1.01171875f, 0x3F82)] // half-way between two, to the even one above
    [InlineData(3.4e38f, 0x7F80)] // beyond the largest
    [InlineData(float.NegativeInfinity, 0xFF80)]
    public void Bfloat16_rounds_to_nearest_even(float number, ushort bits) => Assert.Equal(bits, TensorConversion.ToBFloat16(number));

    [Fact]
    public void A_nan_stays_one()
    {
        float nan = BitConverter.UInt32BitsToSingle(0x7F800001);
        Assert.True(float.IsNaN(TensorConversion.FromBFloat16(TensorConversion.ToBFloat16(nan))));
    }

    [Fact]
    public void Every_bfloat16_survives_the_way_through_float32()
    {
        byte[] all = new byte[2 * 65536];
        for (int i = 0; i < 65536; i++)
        {
            BitConverter.TryWriteBytes(all.AsSpan(2 * i), (ushort)i);
        }

        byte[] wide = new byte[4 * 65536];
        byte[] back = new byte[2 * 65536];
        TensorConversion.Convert(all, TensorType.BFloat16, wide, TensorType.Float32);
        TensorConversion.Convert(wide, TensorType.Float32, back, TensorType.BFloat16);
        for (int i = 0; i < 65536; i++)
        {
            float number = BitConverter.ToSingle(wide, 4 * i);
            Assert.True(float.IsNaN(number) || BitConverter.ToUInt16(back, 2 * i) == i);
        }
    }
}
