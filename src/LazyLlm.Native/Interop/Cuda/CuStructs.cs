using System.Runtime.InteropServices;

namespace LazyLlm.Native.Interop.Cuda;

/// <summary><c>CUlaunchConfig</c>: shape, stream and attributes of one launch (56 bytes).</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CuLaunchConfig
{
    public uint GridX;
    public uint GridY;
    public uint GridZ;
    public uint BlockX;
    public uint BlockY;
    public uint BlockZ;
    public uint SharedBytes;
    public nint Stream;
    public CuLaunchAttribute* Attributes;
    public uint AttributeCount;
}

/// <summary><c>CUlaunchAttribute</c>: an id and a union of 64 bytes, of which the engine uses three numbers (72 bytes).</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct CuLaunchAttribute
{
    /// <summary>CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: X, Y and Z count blocks.</summary>
    public const uint ClusterDimension = 4;

    /// <summary>CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: X = 1 lets the kernel start before its predecessor ends.</summary>
    public const uint ProgrammaticStreamSerialization = 6;

    [FieldOffset(0)]
    public uint Id;
    [FieldOffset(8)]
    public uint X;
    [FieldOffset(12)]
    public uint Y;
    [FieldOffset(16)]
    public uint Z;
}

/// <summary><c>CUmemLocation</c>: where memory lives.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CuMemLocation
{
    /// <summary>CU_MEM_LOCATION_TYPE_DEVICE.</summary>
    public const int DeviceType = 1;

    public int Type;
    public int Id;
}

/// <summary><c>CUmemAllocationProp</c>: what kind of physical memory to take (32 bytes).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CuMemAllocationProp
{
    /// <summary>CU_MEM_ALLOCATION_TYPE_PINNED: device memory that does not move.</summary>
    public const int PinnedType = 1;

    public int Type;
    public int RequestedHandleTypes;
    public CuMemLocation Location;
    public nint Win32HandleMetaData;
    public ulong AllocationFlags;
}

/// <summary><c>CUmemAccessDesc</c>: who may touch a mapped range, and how (12 bytes).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CuMemAccessDesc
{
    /// <summary>CU_MEM_ACCESS_FLAGS_PROT_READWRITE.</summary>
    public const int ReadWrite = 3;

    public CuMemLocation Location;
    public int Flags;
}

/// <summary><c>CUgraphExecUpdateResultInfo</c>: why a graph could not be updated in place (24 bytes).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CuGraphExecUpdateResultInfo
{
    public int Result;
    public nint ErrorNode;
    public nint ErrorFromNode;
}

/// <summary>
/// <c>CUtensorMap</c>: an opaque descriptor of a tensor for bulk copies. cuda.h asks for an address that is a multiple
/// of 64, also for the copy inside a kernel's parameters, so it stands first in a parameter structure.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal unsafe struct CuTensorMap
{
    [FieldOffset(0)]
    public fixed ulong Words[16];
}
