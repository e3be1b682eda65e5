using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LazyLlm.Native.Interop.Nvtx;

/// <summary>
/// The program's side of NVTX 3's handshake: tables of slots, one table per module, that the profiler's library fills
/// with its functions. A slot that it leaves empty is a function that does nothing.
/// </summary>
internal sealed unsafe class NvtxInjection
{
    private const uint NvtxVersion = 3;

    // NvtxExportTableID.
    private const uint CallbacksTable = 1;
    private const uint VersionTable = 3;

    // NvtxCallbackIdCore2.
    private const int RangePushEx = 4;
    private const int RangePop = 5;
    private const int RegisterStringA = 10;
    private const int DomainCreateA = 12;

    // Module numbers from 1: core, CUDA, OpenCL, CUDA run time, core 2 (domains), sync; functions of each, with the
    // unused number 0.
    private const int Core2Module = 5;
    private const int MaxFunctions = 16;

    private static readonly int[] FunctionCounts = [0, 16, 9, 15, 7, 16, 7];

    // Profilers keep these addresses, so they are never freed.
    private static readonly nint* Slots = (nint*)NativeMemory.AllocZeroed((nuint)(FunctionCounts.Length * MaxFunctions), (nuint)sizeof(nint));
    private static readonly nint** Tables = MakeTables();
    private static readonly ExportCallbacks* Callbacks = MakeCallbacks();
    private static readonly ExportVersion* Version = MakeVersion();

    private readonly delegate* unmanaged[Cdecl]<byte*, nint> _createDomain;
    private readonly delegate* unmanaged[Cdecl]<nint, byte*, nint> _registerString;
    private readonly delegate* unmanaged[Cdecl]<nint, EventAttributes*, int> _push;
    private readonly delegate* unmanaged[Cdecl]<nint, int> _pop;

    private NvtxInjection()
    {
        nint* core2 = Slots + (Core2Module * MaxFunctions);
        _createDomain = (delegate* unmanaged[Cdecl]<byte*, nint>)core2[DomainCreateA];
        _registerString = (delegate* unmanaged[Cdecl]<nint, byte*, nint>)core2[RegisterStringA];
        _push = (delegate* unmanaged[Cdecl]<nint, EventAttributes*, int>)core2[RangePushEx];
        _pop = (delegate* unmanaged[Cdecl]<nint, int>)core2[RangePop];
    }

    /// <summary>Loads the library that a profiler named and shakes hands; null if there is none or it declines.</summary>
    /// <param name="path">The library; null or empty if no profiler is there.</param>
    public static NvtxInjection? TryLoad(string? path)
    {
        if (string.IsNullOrEmpty(path)
            || !NativeLibrary.TryLoad(path, out nint library)
            || !NativeLibrary.TryGetExport(library, "InitializeInjectionNvtx2", out nint initialize))
        {
            return null;
        }

        return Attach((delegate* unmanaged[Cdecl]<delegate* unmanaged[Cdecl]<uint, void*>, int>)initialize);
    }

    /// <summary>Shakes hands with a profiler's initialiser; null if it declines or offers no ranges in domains.</summary>
    public static NvtxInjection? Attach(delegate* unmanaged[Cdecl]<delegate* unmanaged[Cdecl]<uint, void*>, int> initialize)
    {
        if (initialize(&GetExportTable) == 0)
        {
            return null;
        }

        var tool = new NvtxInjection();
        return tool._createDomain is null || tool._push is null || tool._pop is null ? null : tool;
    }

    /// <summary>Creates a domain.</summary>
    /// <param name="name">Its name in UTF-8, ending in a zero.</param>
    public nint CreateDomain(ReadOnlySpan<byte> name)
    {
        fixed (byte* start = name)
        {
            return _createDomain(start);
        }
    }

    /// <summary>Registers a text; 0 if the profiler does not.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="text">The text in UTF-8, ending in a zero.</param>
    public nint RegisterString(nint domain, ReadOnlySpan<byte> text)
    {
        fixed (byte* start = text)
        {
            return _registerString is null ? 0 : _registerString(domain, start);
        }
    }

    /// <summary>Opens a range on this thread.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="name">A registered text.</param>
    /// <param name="payload">A number shown with it; below 0 for none.</param>
    public void Push(nint domain, nint name, int payload)
    {
        var attributes = new EventAttributes
        {
            Version = (ushort)NvtxVersion,
            Size = (ushort)sizeof(EventAttributes),
            PayloadType = payload < 0 ? 0 : EventAttributes.Int64Payload,
            Payload = payload,
            MessageType = EventAttributes.RegisteredMessage,
            Message = name,
        };
        _push(domain, &attributes);
    }

    /// <summary>Closes this thread's last range.</summary>
    /// <param name="domain">The domain.</param>
    public void Pop(nint domain) => _pop(domain);

    private static nint** MakeTables()
    {
        // One more entry than functions stays null, so that a tool that reads too far stops at it.
        var tables = (nint**)NativeMemory.AllocZeroed((nuint)(FunctionCounts.Length * (MaxFunctions + 1)), (nuint)sizeof(nint*));
        for (int module = 1; module < FunctionCounts.Length; module++)
        {
            for (int function = 1; function < FunctionCounts[module]; function++)
            {
                tables[(module * (MaxFunctions + 1)) + function] = Slots + (module * MaxFunctions) + function;
            }
        }

        return tables;
    }

    private static ExportCallbacks* MakeCallbacks()
    {
        var callbacks = (ExportCallbacks*)NativeMemory.AllocZeroed((nuint)sizeof(ExportCallbacks));
        callbacks->Size = (nuint)sizeof(ExportCallbacks);
        callbacks->GetModuleFunctionTable = &GetModuleFunctionTable;
        return callbacks;
    }

    private static ExportVersion* MakeVersion()
    {
        var version = (ExportVersion*)NativeMemory.AllocZeroed((nuint)sizeof(ExportVersion));
        version->Size = (nuint)sizeof(ExportVersion);
        version->Version = NvtxVersion;
        version->SetInjectionVersion = &SetInjectionVersion;
        return version;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* GetExportTable(uint id) => id switch
    {
        CallbacksTable => Callbacks,
        VersionTable => Version,
        _ => null,
    };

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetModuleFunctionTable(int module, nint*** table, uint* size)
    {
        if (module < 1 || module >= FunctionCounts.Length)
        {
            return 0;
        }

        if (size != null)
        {
            *size = (uint)FunctionCounts[module];
        }

        if (table != null)
        {
            *table = Tables + (module * (MaxFunctions + 1));
        }

        return 1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void SetInjectionVersion(uint version)
    {
        // Tools announce their version here; nothing depends on it.
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ExportCallbacks
    {
        public nuint Size;
        public delegate* unmanaged[Cdecl]<int, nint***, uint*, int> GetModuleFunctionTable;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ExportVersion
    {
        public nuint Size;
        public uint Version;
        public uint Reserved;
        public delegate* unmanaged[Cdecl]<uint, void> SetInjectionVersion;
    }

    // nvtxEventAttributes_t, 48 bytes.
    [StructLayout(LayoutKind.Sequential)]
    private struct EventAttributes
    {
        public const int Int64Payload = 2;
        public const int RegisteredMessage = 3;

        public ushort Version;
        public ushort Size;
        public uint Category;
        public int ColorType;
        public uint Color;
        public int PayloadType;
        public int Reserved;
        public long Payload;
        public int MessageType;
        public nint Message;
    }
}
