using System.Numerics;
using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>Shuffles, votes, barriers and atomics of the stand-in, in several orders of threads and blocks.</summary>
[Collection(StandinTests.Name)]
public sealed class StandinCollectiveTests : IDisposable
{
    private readonly StandinDriver _driver = StandinDriver.Require();
    private readonly StandinModule _module;

    public StandinCollectiveTests() => _module = new StandinModule(_driver, "collectives");

    public static TheoryData<long> Orders => [0, -1, 1, 2, 77];

    public void Dispose() => _module.Dispose();

    [Theory]
    [MemberData(nameof(Orders))]
    public void Shuffles_move_values_as_specified(long order)
    {
        _driver.Set("thread_order", order);
        uint[] found = Run("selftest_shuffles", 1, 256, 8 * 256);
        for (uint id = 0; id < 256; id++)
        {
            uint lane = id & 31, warp = id & ~31u;
            uint[] expected =
            [
                warp + 5,
                (id & ~7u) | ((id + 3) & 7),
                lane < 3 ? id : id - 3,
                (lane & 15) + 3 < 16 ? id + 3 : id,
                id ^ 9,
                warp + 31,
                lane < 31 ? id + 1 : id,
                lane * (lane + 1) / 2,
            ];
            Assert.Equal(expected, found.AsSpan((int)(8 * id), 8).ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void Votes_and_reductions_count_the_lanes_of_their_mask(long order)
    {
        _driver.Set("thread_order", order);
        uint[] found = Run("selftest_votes", 1, 64, 8 * 64);
        for (int id = 0; id < 64; id++)
        {
            int lane = id & 31;
            int[] half = [.. Enumerable.Range(lane < 16 ? 0 : 16, 16)];
            uint[] expected =
            [
                half.Where(l => l % 3 == 0).Aggregate(0u, (bits, l) => bits | (1u << l)),
                1,
                lane < 16 ? 1u : 0u,
                (uint)half.Sum(),
                unchecked((uint)-5),
                31,
                Enumerable.Range(0, 32).Where(l => l / 5 == lane / 5).Aggregate(0u, (bits, l) => bits | (1u << l)),
                31 + 32,
            ];
            Assert.Equal(expected, found.AsSpan(8 * id, 8).ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void Barriers_go_on_without_threads_that_have_returned(long order)
    {
        _driver.Set("thread_order", order);
        uint[] found = Run("selftest_early_return", 1, 128, 100);
        for (int id = 0; id < 100; id++)
        {
            Assert.Equal(100u * 1_000_000 + 50 * 100 + (id < 96 ? 32u : 4u), found[id]);
        }
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void Named_barriers_pass_data_between_warps(long order)
    {
        _driver.Set("thread_order", order);
        uint[] found = Run("selftest_named_barriers", 1, 128, 64);
        Assert.Equal(Enumerable.Range(0, 64).Select(id => (uint)(1500 + (6 * (63 - id)))), found);
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void Atomics_hold_across_blocks(long order)
    {
        _driver.Set("thread_order", order);
        ulong memory = _module.Upload<uint>(0, 0, 0, 0, 0);
        _module.Run("selftest_atomics", 50, 64, memory);
        uint[] found = _module.Download<uint>(memory, 5);
        Assert.Equal([3200u, BitConverter.SingleToUInt32Bits(3200f), 3199u, 50u, 3200u], found);
    }

    [Fact]
    public void Other_orders_of_threads_find_a_race_that_the_plain_order_hides()
    {
        uint[] expected = [.. Enumerable.Range(0, 128).Select(id => (uint)Math.Max(id - 1, 0))];
        Assert.Equal(expected, Run("selftest_race", 1, 128, 128));
        foreach (long order in new long[] { -1, 1, 2, 3 })
        {
            _driver.Set("thread_order", order);
            Assert.NotEqual(expected, Run("selftest_race", 1, 128, 128));
        }
    }

    [Fact]
    public void Blocks_start_in_another_order_for_each_seed()
    {
        _driver.Set("workers", 1);
        var orders = new List<uint[]>();
        foreach (long order in new long[] { 0, -1, 5, 6 })
        {
            _driver.Set("thread_order", order);
            ulong memory = _module.Upload(new uint[41]);
            _module.Run("selftest_block_order", 40, 32, memory);
            orders.Add(_module.Download<uint>(memory, 41)[1..]);
        }

        uint[] ascending = [.. Enumerable.Range(0, 40).Select(block => (uint)block)];
        Assert.Equal(ascending, orders[0]);
        Assert.Equal(ascending.Reverse(), orders[1]);
        Assert.NotEqual(orders[2], orders[3]);
        Assert.All(orders, order => Assert.Equal(ascending, order.Order()));
        Assert.All(orders, order => Assert.Equal(40, BitOperations.PopCount(order.Aggregate(0ul, (bits, block) => bits | (1ul << (int)block)))));
    }

    private uint[] Run(string kernel, int grid, int block, int results)
    {
        ulong memory = _module.Allocate(results * sizeof(uint));
        _module.Run(kernel, grid, block, memory);
        return _module.Download<uint>(memory, results);
    }
}
