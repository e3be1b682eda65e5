using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>ldmatrix, mma, cp.async and conversions of the stand-in, against plain arithmetic.</summary>
[Collection(StandinTests.Name)]
public sealed class StandinMatrixTests : IDisposable
{
    private readonly StandinDriver _driver = StandinDriver.Require();
    private readonly StandinModule _module;

    public StandinMatrixTests() => _module = new StandinModule(_driver, "matrices");

    public static TheoryData<long> Orders => [0, -1, 3];

    public void Dispose() => _module.Dispose();

    [Theory]
    [MemberData(nameof(Orders))]
    public void Ldmatrix_gives_each_lane_its_pair(long order)
    {
        _driver.Set("thread_order", order);
        ushort Tile(int tile, int row, int column) => (ushort)((tile * 64) + (row * 8) + column + 7);
        ushort[] tiles = [.. Enumerable.Range(0, 256).Select(i => Tile(i / 64, i / 8 % 8, i % 8))];
        ulong found = _module.Allocate(14 * 32 * sizeof(uint));
        _module.Run("selftest_ldmatrix", 1, 32, (_module.Upload(tiles), found), 512);
        uint[] registers = _module.Download<uint>(found, 14 * 32);
        int[] tileOf = [0, 0, 1, 0, 1, 2, 3];
        for (int lane = 0; lane < 32; lane++)
        {
            for (int i = 0; i < 14; i++)
            {
                int tile = tileOf[i % 7], major = lane / 4, minor = lane % 4 * 2;
                uint low = i < 7 ? Tile(tile, major, minor) : Tile(tile, minor, major);
                uint high = i < 7 ? Tile(tile, major, minor + 1) : Tile(tile, minor + 1, major);
                Assert.Equal(low | (high << 16), registers[(14 * lane) + i]);
            }
        }
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(false, 5)]
    public void Mma_multiplies_every_element_with_every_other(bool half, long order)
    {
        _driver.Set("thread_order", order);
        // One pair of non-zero elements at a time, so that a wrong place shows as a wrong place.
        for (int k = 0; k < 16; k++)
        {
            for (int row = 0; row < 16; row += 3)
            {
                int column = (k + row) % 8;
                var a = new float[256];
                var b = new float[128];
                a[(row * 16) + k] = 3;
                b[(k * 8) + column] = 5;
                float[] expected = new float[128];
                expected[(row * 8) + column] = 15;
                Assert.Equal(expected, Multiply(a, b, new float[128], half));
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Mma_agrees_with_a_plain_product(bool half)
    {
        var random = new Random(11);
        for (int round = 0; round < 20; round++)
        {
            // Multiples of 1/8 are exact in both formats, and so are all sums: the order of adding does not matter.
            float[] a = [.. Enumerable.Range(0, 256).Select(_ => random.Next(-64, 64) / 8f)];
            float[] b = [.. Enumerable.Range(0, 128).Select(_ => random.Next(-64, 64) / 8f)];
            float[] c = [.. Enumerable.Range(0, 128).Select(_ => random.Next(-999, 999) / 4f)];
            var expected = new float[128];
            for (int i = 0; i < 128; i++)
            {
                expected[i] = c[i] + Enumerable.Range(0, 16).Sum(k => a[(i / 8 * 16) + k] * b[(k * 8) + (i % 8)]);
            }

            Assert.Equal(expected, Multiply(a, b, c, half));
        }
    }

    [Fact]
    public void Mma_of_tf32_agrees_with_a_plain_product()
    {
        var random = new Random(12);
        float[] a = [.. Enumerable.Range(0, 128).Select(_ => random.Next(-64, 64) / 8f)];
        float[] b = [.. Enumerable.Range(0, 64).Select(_ => random.Next(-64, 64) / 8f)];
        ulong found = _module.Allocate(128 * sizeof(float));
        _module.Run("selftest_mma_tf32", 1, 32, (_module.Upload(a), _module.Upload(b), found));
        float[] expected = [.. Enumerable.Range(0, 128).Select(i => Enumerable.Range(0, 8).Sum(k => a[(i / 8 * 8) + k] * b[(k * 8) + (i % 8)]))];
        Assert.Equal(expected, _module.Download<float>(found, 128));
    }

    [Fact]
    public void Asynchronous_copies_land_at_their_wait_and_not_before()
    {
        ulong found = _module.Upload(new uint[24]);
        ulong source = _module.Upload<uint>(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
        _module.Run("selftest_cp_async", 1, 32, (source, found), 48);
        uint[] expected =
        [
            1000, 1004, // nothing has landed
            1, 2, 3, 4, 1004, // the first group has
            5, 6, 0, 0, 1008, // the second too, filled with zeros; what is in no group has not
            9, 0,
        ];
        Assert.Equal(expected, _module.Download<uint>(found, expected.Length));
    }

    [Fact]
    public void Conversions_round_to_nearest_even()
    {
        var random = new Random(13);
        float[] numbers =
        [
            0, -0f, 1, -1, 65504, 65519.99f, 65520, -70000, 1e30f, float.MaxValue, float.Epsilon, 5.9604645e-8f, 2.9802322e-8f, 2.98023242e-8f,
            6.1035156e-5f, 6.1e-5f, float.PositiveInfinity, float.NegativeInfinity, float.NaN, 1.00390625f, 1.01171875f, 1.00048828125f, 1.00146484375f,
            .. Enumerable.Range(0, 4000).Select(_ => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue))),
            .. Enumerable.Range(0, 4000).Select(i => (float)Math.ScaleB(random.NextDouble() - 0.5, (i % 48) - 30)),
        ];
        int n = numbers.Length;
        ulong asBf16 = _module.Allocate(2 * n), asF16 = _module.Allocate(2 * n), back = _module.Allocate(8 * n), packed = _module.Allocate(8 * n);
        _module.Run("selftest_convert", (n + 255) / 256, 256, (_module.Upload(numbers), asBf16, asF16, back, packed, n));
        ushort[] bf16 = _module.Download<ushort>(asBf16, n), f16 = _module.Download<ushort>(asF16, n);
        float[] backs = _module.Download<float>(back, 2 * n);
        uint[] pairs = _module.Download<uint>(packed, 2 * n);
        for (int i = 0; i < n; i++)
        {
            if (float.IsNaN(numbers[i]))
            {
                Assert.True(float.IsNaN(backs[2 * i]) && float.IsNaN(backs[(2 * i) + 1]));
                continue;
            }

            Assert.Equal(BitConverter.HalfToUInt16Bits((Half)numbers[i]), f16[i]);
            Assert.Equal((float)(Half)numbers[i], backs[(2 * i) + 1]);
            Assert.Equal(RoundToBf16(numbers[i]), bf16[i]);
            Assert.Equal(BitConverter.Int32BitsToSingle(bf16[i] << 16), backs[2 * i]);
            Assert.Equal(0x3F800000u | bf16[i], pairs[2 * i]);
            Assert.Equal(0x3C000000u | f16[i], pairs[(2 * i) + 1]);
        }
    }

    [Fact]
    public void Approximations_are_close()
    {
        float[] numbers = [.. Enumerable.Range(0, 64).Select(i => 0.01f + (i * 0.37f))];
        ulong back = _module.Allocate(8 * numbers.Length);
        _module.Run("selftest_approximate", 1, 64, (_module.Upload(numbers), 0ul, 0ul, back, 0ul, numbers.Length));
        float[] found = _module.Download<float>(back, 2 * numbers.Length);
        for (int i = 0; i < numbers.Length; i++)
        {
            Assert.Equal(numbers[i], found[2 * i], numbers[i] * 1e-5f);
            Assert.Equal(MathF.Sqrt(numbers[i]), found[(2 * i) + 1], 1e-5f * numbers[i] + 1e-6f);
        }
    }

    // Half way between two neighbours decides the even one: done in double, bit by bit.
    private static ushort RoundToBf16(float x)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x), low = bits & 0xFFFF, high = bits >> 16;
        bool up = low > 0x8000 || (low == 0x8000 && (high & 1) == 1);
        return (ushort)(up ? high + 1 : high);
    }

    private static ushort Bits(float x, bool half) => half ? BitConverter.HalfToUInt16Bits((Half)x) : RoundToBf16(x);

    private float[] Multiply(float[] a, float[] b, float[] c, bool half)
    {
        ushort[] bitsA = [.. a.Select(x => Bits(x, half))], bitsB = [.. b.Select(x => Bits(x, half))];
        ulong d = _module.Allocate(128 * sizeof(float));
        _module.Run("selftest_mma", 1, 32, (_module.Upload(bitsA), _module.Upload(bitsB), _module.Upload(c), d, half ? 1 : 0), 768);
        return _module.Download<float>(d, 128);
    }
}
