using System.Runtime.InteropServices;

namespace LazyLlm.Native.Interop.Cuda;

// Device, pinned and virtual memory, and the copies between them.
internal static unsafe partial class CudaDriver
{
    [LibraryImport(Library)]
    internal static partial CuResult cuMemGetInfo_v2(out nuint free, out nuint total);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemAlloc_v2(out ulong pointer, nuint bytes);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemFree_v2(ulong pointer);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemHostAlloc(out nint pointer, nuint bytes, uint flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemFreeHost(nint pointer);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemcpyHtoDAsync_v2(ulong destination, void* source, nuint bytes, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemcpyDtoHAsync_v2(void* destination, ulong source, nuint bytes, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemcpyDtoDAsync_v2(ulong destination, ulong source, nuint bytes, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemsetD8Async(ulong destination, byte value, nuint count, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemsetD32Async(ulong destination, uint value, nuint count, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemGetAllocationGranularity(out nuint granularity, in CuMemAllocationProp properties, int option);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemAddressReserve(out ulong pointer, nuint bytes, nuint alignment, ulong address, ulong flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemAddressFree(ulong pointer, nuint bytes);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemCreate(out ulong handle, nuint bytes, in CuMemAllocationProp properties, ulong flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemRelease(ulong handle);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemMap(ulong pointer, nuint bytes, nuint offset, ulong handle, ulong flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemUnmap(ulong pointer, nuint bytes);

    [LibraryImport(Library)]
    internal static partial CuResult cuMemSetAccess(ulong pointer, nuint bytes, in CuMemAccessDesc access, nuint count);
}
