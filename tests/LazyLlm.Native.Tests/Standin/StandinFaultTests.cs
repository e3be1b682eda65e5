using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>What is wrong in a kernel or told to fail is found, named, and does not end the process.</summary>
[Collection(StandinTests.Name)]
public sealed class StandinFaultTests : IDisposable
{
    private const int InvalidValue = 1;
    private const int OutOfMemory = 2;
    private const int IllegalAddress = 700;
    private const int OutOfResources = 701;
    private const int Timeout = 702;
    private const int IllegalInstruction = 715;
    private const int Misaligned = 716;

    private readonly StandinDriver _driver = StandinDriver.Require();
    private readonly StandinModule _module;

    public StandinFaultTests() => _module = new StandinModule(_driver, "faults");

    public void Dispose() => _module.Dispose();

    [Theory]
    [InlineData(0, IllegalAddress, "bytes past the end of an allocation of 400 bytes")]
    [InlineData(1, IllegalAddress, "past the end of an allocation of 400 bytes")]
    [InlineData(2, IllegalAddress, "before the start of an allocation of 400 bytes")]
    [InlineData(3, IllegalAddress, "null pointer")]
    [InlineData(4, Timeout, "Barrier 0: 59 of 64 threads arrived. Warp 0 from lane 0: in __syncwarp with mask 0xffffffff.")]
    [InlineData(5, Timeout, "Barrier 1: 32 of 64 threads arrived. Barrier 2: 32 of 64 threads arrived.")]
    [InlineData(6, IllegalInstruction, "thread (7,0,0): __trap")]
    [InlineData(7, IllegalAddress, "past the end of dynamic shared memory (400 bytes)")]
    [InlineData(8, IllegalAddress, "past the end of dynamic shared memory (400 bytes)")]
    [InlineData(9, IllegalInstruction, "division of an integer by zero")]
    [InlineData(11, Misaligned, "not aligned to 16 bytes")]
    [InlineData(12, IllegalInstruction, "by a lane that its mask leaves out")]
    [InlineData(13, IllegalAddress, "stack overflow")]
    [InlineData(14, Timeout, "not finished after 100 ms")]
    public void A_faulty_kernel_poisons_the_context_and_is_named(int kind, int code, string words)
    {
        ulong data = _module.Upload(new uint[100]);
        _driver.Set("timeout", kind == 14 ? 100 : 120_000);
        Assert.Equal(0, _module.Launch("selftest_fault", 3, 64, (data, 100, kind), 400));
        int result = _module.Synchronize();
        Assert.True(result == code, $"{result}: {_driver.LastError}");
        Assert.StartsWith(kind is 1 or 2 ? "after kernel selftest_fault" : "kernel selftest_fault, block (", _driver.LastError, StringComparison.Ordinal);
        Assert.Contains(words, _driver.LastError, StringComparison.Ordinal);
        // Every later call says the same.
        Assert.Equal(code, _module.TryAllocate(16, out _));
        Assert.Equal(code, _driver.Int("cuMemFree_v2", (long)data));

        _driver.Reset();
        _module.Run("selftest_fault", 1, 64, (data, 100, 99), 400);
        Assert.Equal(63u, _module.Download<uint>(data, 64)[63]);
    }

    [Fact]
    public void Memory_that_nobody_wrote_holds_no_numbers()
    {
        ulong data = _module.Allocate(400 * sizeof(uint));
        Assert.All(_module.Download<float>(data, 400), x => Assert.True(float.IsNaN(x)));
        _module.Run("selftest_fault", 2, 64, (data, 400, 10), 400);
        Assert.All(_module.Download<uint>(data, 128), x => Assert.Equal(0xFFFFFFFFu, x));
    }

    [Fact]
    public void A_freed_allocation_faults()
    {
        ulong data = _module.Allocate(400);
        Assert.Equal(0, _driver.Int("cuMemFree_v2", (long)data));
        Assert.Equal(InvalidValue, _driver.Int("cuMemFree_v2", (long)data));
        Assert.Equal(0, _module.Launch("selftest_fault", 1, 64, (data, 100, 99), 400));
        Assert.Equal(IllegalAddress, _module.Synchronize());
    }

    [Fact]
    public void A_call_is_told_to_fail_once_and_then_succeeds()
    {
        long before = _driver.Get("live_bytes");
        _driver.Set("fail.alloc", "2");
        Assert.Equal(0, _module.TryAllocate(100, out _));
        Assert.Equal(OutOfMemory, _module.TryAllocate(100, out _));
        Assert.Equal(0, _module.TryAllocate(100, out ulong last));
        Assert.Equal(before + 200, _driver.Get("live_bytes"));

        _driver.Set("fail.launch", "1+:719");
        Assert.Equal(719, _module.Launch("selftest_fault", 1, 64, (last, 25, 99), 400));
        Assert.Equal(719, _module.Synchronize());
        Assert.Equal(719, _driver.Get("sticky"));
    }

    [Fact]
    public void Memory_ends_where_it_is_told_to()
    {
        long live = _driver.Get("live_bytes");
        _driver.Set("total_memory", live + 1000);
        Assert.Equal(OutOfMemory, _module.TryAllocate(1001, out _));
        Assert.Equal(0, _module.TryAllocate(600, out _));
        Assert.Equal(OutOfMemory, _module.TryAllocate(600, out _));
        Assert.Equal(0, _module.TryAllocate(400, out _));
    }

    [Fact]
    public void A_launch_beyond_the_limits_is_refused()
    {
        ulong data = _module.Upload(new uint[100]);
        Assert.Equal(OutOfResources, _module.Launch("selftest_fault", 1, 96, (data, 100, 99)));
        Assert.Equal(InvalidValue, _module.Launch("selftest_fault", 0, 64, (data, 100, 99)));
        Assert.Equal(InvalidValue, _module.Launch("selftest_fault", 1, 64, (data, 100, 99), 49 << 10));
        Assert.Equal(0, _module.Synchronize());
    }

    [Fact]
    public void A_source_with_an_error_gives_a_log_with_file_and_line()
    {
        const string Source = "#include \"ptx.cuh\"\n\nstruct Args { int *p; };\nLAZYLLM_KERNEL(k, Args, 32)\n{\n    args.q[0] = 1;\n}\n";
        (int result, string log, _) = StandinModule.Compile(_driver, Source, "/some/folder/wrong.cu", "--gpu-architecture=sm_80", "-lineinfo");
        Assert.Equal(6, result);
        Assert.Contains("/some/folder/wrong.cu(6): error: ", log, StringComparison.Ordinal);

        (result, log, byte[] image) = StandinModule.Compile(_driver, Source, "right.cu", "-Dq=p");
        Assert.True(result == 0, log);
        Assert.NotEmpty(image);
        (result, log, _) = StandinModule.Compile(_driver, "#include <cstdio>\n", "header.cu");
        Assert.Equal(6, result);
        Assert.Contains("header.cu(1): fatal error: cstdio", log, StringComparison.Ordinal);
    }

    [Fact]
    public unsafe void A_damaged_or_foreign_image_is_refused()
    {
        const string Source = "#include \"ptx.cuh\"\nLAZYLLM_KERNEL(k, int, 32) {}\n";
        byte[] image = StandinModule.Compile(_driver, Source, "image.cu", "-arch=sm_80").Image;
        Assert.Equal(200, Load([.. image.Select((b, i) => i == image.Length / 2 ? (byte)~b : b)]));
        Assert.Equal(200, Load(new byte[64]));
        Assert.Equal(209, Load(StandinModule.Compile(_driver, Source, "image.cu", "-arch=sm_90").Image));

        int Load(byte[] bytes)
        {
            nint module;
            fixed (byte* start = bytes)
            {
                return ((delegate* unmanaged<nint*, byte*, uint, int*, void**, int>)_driver.Export("cuModuleLoadDataEx"))(&module, start, 0, null, null);
            }
        }
    }
}
