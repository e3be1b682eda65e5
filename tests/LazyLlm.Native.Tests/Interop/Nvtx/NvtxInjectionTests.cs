using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Interop.Nvtx;
using Xunit;

namespace LazyLlm.Native.Tests.Interop.Nvtx;

/// <summary>A profiler made of managed functions shakes hands and reads the ranges.</summary>
public sealed unsafe class NvtxInjectionTests
{
    private static readonly ConcurrentQueue<string> Seen = new();

    [Fact]
    public void A_tool_gets_domain_text_and_ranges()
    {
        NvtxInjection? tool = NvtxInjection.Attach(&Initialize);
        Assert.NotNull(tool);

        nint domain = tool.CreateDomain("LazyLlm\0"u8);
        nint name = tool.RegisterString(domain, "layer\0"u8);
        tool.Push(domain, name, 12);
        tool.Push(domain, name, -1);
        tool.Pop(domain);

        Assert.Equal(["version 3", "domain LazyLlm", "string 77 layer", "push 77 size 48 message 3:99 payload 2:12", "push 77 size 48 message 3:99 payload 0:-1", "pop 77"], Seen);
    }

    [Fact]
    public void A_tool_that_declines_is_not_used() => Assert.Null(NvtxInjection.Attach(&Decline));

    [Fact]
    public void Without_a_profiler_nothing_is_loaded()
    {
        Assert.Null(NvtxInjection.TryLoad(null));
        Assert.Null(NvtxInjection.TryLoad(string.Empty));
        Assert.Null(NvtxInjection.TryLoad("/nowhere/libtool.so"));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Initialize(delegate* unmanaged[Cdecl]<uint, void*> getExportTable)
    {
        // NvtxExportTableVersionInfo: size_t struct_size; uint32_t version; ...
        Seen.Enqueue($"version {((uint*)getExportTable(3))[2]}");

        // NvtxExportTableCallbacks: size_t struct_size; GetModuleFunctionTable.
        var callbacks = (nint*)getExportTable(1);
        var getTable = (delegate* unmanaged[Cdecl]<int, nint***, uint*, int>)callbacks[1];
        nint** table;
        uint size;
        if (getTable(5, &table, &size) == 0 || size != 16 || table[0] != null || table[16] != null || getTable(99, &table, &size) != 0)
        {
            return 0;
        }

        getTable(5, &table, &size);
        *table[12] = (nint)(delegate* unmanaged[Cdecl]<byte*, nint>)&DomainCreate;
        *table[10] = (nint)(delegate* unmanaged[Cdecl]<nint, byte*, nint>)&RegisterString;
        *table[4] = (nint)(delegate* unmanaged[Cdecl]<nint, byte*, int>)&Push;
        *table[5] = (nint)(delegate* unmanaged[Cdecl]<nint, int>)&Pop;
        return 1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Decline(delegate* unmanaged[Cdecl]<uint, void*> getExportTable) => 0;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint DomainCreate(byte* name)
    {
        Seen.Enqueue("domain " + Marshal.PtrToStringUTF8((nint)name));
        return 77;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint RegisterString(nint domain, byte* text)
    {
        Seen.Enqueue($"string {domain} {Marshal.PtrToStringUTF8((nint)text)}");
        return 99;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Push(nint domain, byte* attributes)
    {
        ushort size = *(ushort*)(attributes + 2);
        int payloadType = *(int*)(attributes + 16);
        long payload = *(long*)(attributes + 24);
        int messageType = *(int*)(attributes + 32);
        nint message = *(nint*)(attributes + 40);
        Seen.Enqueue($"push {domain} size {size} message {messageType}:{message} payload {payloadType}:{payload}");
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Pop(nint domain)
    {
        Seen.Enqueue($"pop {domain}");
        return 0;
    }
}
