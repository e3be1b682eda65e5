using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>Streams, events, graphs and mapped memory of the stand-in, at once and on threads of their own.</summary>
[Collection(StandinTests.Name)]
public sealed unsafe class StandinStreamTests : IDisposable
{
    private readonly StandinDriver _driver = StandinDriver.Require();
    private readonly StandinModule _module;

    public StandinStreamTests() => _module = new StandinModule(_driver, "collectives");

    public void Dispose() => _module.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Events_order_streams(int async)
    {
        _driver.Set("async", async);
        nint first = Create("cuStreamCreate"), second = Create("cuStreamCreate"), done = Create("cuEventCreate"), start = Create("cuEventCreate");
        ulong counter = _module.Upload(new uint[401]), copy = _module.Allocate(401 * sizeof(uint));
        Assert.Equal(0, Record(start, first));
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(0, _module.Launch("selftest_block_order", 40, 32, counter, stream: first));
        }

        Assert.Equal(0, Record(done, first));
        Assert.Equal(0, ((delegate* unmanaged<nint, nint, uint, int>)_driver.Export("cuStreamWaitEvent"))(second, done, 0));
        Assert.Equal(0, ((delegate* unmanaged<ulong, ulong, nuint, nint, int>)_driver.Export("cuMemcpyDtoDAsync_v2"))(copy, counter, 401 * 4, second));
        Assert.Equal(0, _driver.Int("cuStreamSynchronize", second));
        Assert.Equal(400u, _module.Download<uint>(copy, 1)[0]);
        float milliseconds;
        Assert.Equal(0, ((delegate* unmanaged<float*, nint, nint, int>)_driver.Export("cuEventElapsedTime"))(&milliseconds, start, done));
        Assert.True(milliseconds > 0);
        Destroy(("cuStreamDestroy_v2", first), ("cuStreamDestroy_v2", second), ("cuEventDestroy_v2", done), ("cuEventDestroy_v2", start));
    }

    [Fact]
    public void A_graph_replays_what_was_captured_and_takes_new_parameters()
    {
        nint stream = Create("cuStreamCreate");
        ulong one = _module.Upload(new uint[41]), two = _module.Upload(new uint[41]);
        nint graph = Capture(stream, one), executable;
        Assert.Equal(0u, _module.Download<uint>(one, 1)[0]); // captured, not run
        Assert.Equal(0, ((delegate* unmanaged<nint*, nint, ulong, int>)_driver.Export("cuGraphInstantiateWithFlags"))(&executable, graph, 0));
        GraphLaunch(executable, stream);
        GraphLaunch(executable, stream);
        Assert.Equal(20u, _module.Download<uint>(one, 1)[0]); // the graph clears the counter first

        nint other = Capture(stream, two);
        long* info = stackalloc long[3];
        var update = (delegate* unmanaged<nint, nint, long*, int>)_driver.Export("cuGraphExecUpdate_v2");
        Assert.Equal(0, update(executable, other, info));
        GraphLaunch(executable, stream);
        Assert.Equal(20u, _module.Download<uint>(two, 1)[0]);

        nint longer = Capture(stream, two, launches: 2);
        Assert.Equal(910, update(executable, longer, info));
        Assert.Equal(2, (int)info[0]);
        Destroy(("cuGraphDestroy", graph), ("cuGraphDestroy", other), ("cuGraphDestroy", longer), ("cuGraphExecDestroy", executable), ("cuStreamDestroy_v2", stream));
    }

    [Fact]
    public void A_capture_forbids_waiting_and_allocating()
    {
        nint stream = Create("cuStreamCreate"), graph;
        var begin = (delegate* unmanaged<nint, int, int>)_driver.Export("cuStreamBeginCapture_v2");
        var end = (delegate* unmanaged<nint, nint*, int>)_driver.Export("cuStreamEndCapture");
        Assert.Equal(0, begin(stream, 0));
        Assert.Equal(900, _module.TryAllocate(16, out _));
        Assert.Equal(901, end(stream, &graph));
        Assert.Equal(0, begin(stream, 2));
        Assert.Equal(0, _module.TryAllocate(16, out _)); // a relaxed capture allows it
        Assert.Equal(900, _driver.Int("cuStreamSynchronize", stream));
        Assert.Equal(901, end(stream, &graph));
        Assert.Equal(903, end(stream, &graph));
        Destroy(("cuStreamDestroy_v2", stream));
    }

    [Fact]
    public void Physical_memory_is_mapped_piece_by_piece()
    {
        const int Piece = 2 << 20;
        var reserve = (delegate* unmanaged<ulong*, nuint, nuint, ulong, ulong, int>)_driver.Export("cuMemAddressReserve");
        var create = (delegate* unmanaged<ulong*, nuint, int*, ulong, int>)_driver.Export("cuMemCreate");
        var map = (delegate* unmanaged<ulong, nuint, nuint, ulong, ulong, int>)_driver.Export("cuMemMap");
        var access = (delegate* unmanaged<ulong, nuint, int*, nuint, int>)_driver.Export("cuMemSetAccess");
        var fill = (delegate* unmanaged<ulong, uint, nuint, nint, int>)_driver.Export("cuMemsetD32Async");
        long before = _driver.Get("live_bytes");
        int* properties = stackalloc int[8];
        new Span<int>(properties, 8).Clear();
        properties[0] = properties[2] = 1;
        int* readWrite = stackalloc int[3] { 1, 0, 3 };
        ulong range, firstHalf, secondHalf;
        Assert.Equal(0, reserve(&range, 2 * Piece, 0, 0, 0));
        Assert.Equal(0, create(&firstHalf, Piece, properties, 0));
        Assert.Equal(0, create(&secondHalf, Piece, properties, 0));
        Assert.Equal(InvalidValue, create(&secondHalf, Piece - 4096, properties, 0));
        Assert.Equal(0, map(range, Piece, 0, firstHalf, 0));
        Assert.Equal(InvalidValue, fill(range, 7, 4, 0)); // no access yet
        Assert.Equal(0, access(range, Piece, readWrite, 1));
        Assert.Equal(InvalidValue, fill(range + Piece - 4, 7, 2, 0)); // half of it is not there yet
        Assert.Equal(0, map(range + Piece, Piece, 0, secondHalf, 0));
        Assert.Equal(0, access(range + Piece, Piece, readWrite, 1));
        Assert.Equal(0, fill(range + Piece - 4, 7, 2, 0));
        Assert.Equal([7u, 7u, 0xFFFFFFFFu], _module.Download<uint>(range + Piece - 4, 3));
        Assert.Equal(before + (2 * Piece), _driver.Get("live_bytes"));

        Assert.Equal(0, _driver.Int("cuMemRelease", (long)firstHalf));
        Assert.Equal(0, _driver.Int("cuMemRelease", (long)secondHalf));
        Assert.Equal(before + (2 * Piece), _driver.Get("live_bytes")); // mapped still
        var unmap = (delegate* unmanaged<ulong, nuint, int>)_driver.Export("cuMemUnmap");
        var free = (delegate* unmanaged<ulong, nuint, int>)_driver.Export("cuMemAddressFree");
        Assert.Equal(InvalidValue, free(range, 2 * Piece));
        Assert.Equal(0, unmap(range, 2 * Piece));
        Assert.Equal(0, free(range, 2 * Piece));
        Assert.Equal(before, _driver.Get("live_bytes"));
    }

    private const int InvalidValue = 1;

    // Clears the counter and lets 20 blocks add to it.
    private nint Capture(nint stream, ulong counter, int launches = 1)
    {
        Assert.Equal(0, ((delegate* unmanaged<nint, int, int>)_driver.Export("cuStreamBeginCapture_v2"))(stream, 1));
        Assert.Equal(0, ((delegate* unmanaged<ulong, uint, nuint, nint, int>)_driver.Export("cuMemsetD32Async"))(counter, 0, 41, stream));
        for (int i = 0; i < launches; i++)
        {
            Assert.Equal(0, _module.Launch("selftest_block_order", 20, 32, counter, stream: stream));
        }

        nint graph;
        Assert.Equal(0, ((delegate* unmanaged<nint, nint*, int>)_driver.Export("cuStreamEndCapture"))(stream, &graph));
        return graph;
    }

    private void GraphLaunch(nint executable, nint stream)
    {
        Assert.Equal(0, ((delegate* unmanaged<nint, nint, int>)_driver.Export("cuGraphLaunch"))(executable, stream));
        Assert.Equal(0, _driver.Int("cuStreamSynchronize", stream));
    }

    private int Record(nint e, nint stream) => ((delegate* unmanaged<nint, nint, int>)_driver.Export("cuEventRecord"))(e, stream);

    private nint Create(string name)
    {
        nint handle;
        Assert.Equal(0, ((delegate* unmanaged<nint*, uint, int>)_driver.Export(name))(&handle, 0));
        return handle;
    }

    private void Destroy(params (string Function, nint Handle)[] handles)
    {
        foreach ((string function, nint handle) in handles)
        {
            Assert.Equal(0, _driver.Int(function, handle));
        }
    }
}
