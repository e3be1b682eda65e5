using System.Runtime.InteropServices;

namespace LazyLlm.Native.Interop.Cuda;

// Modules, functions, streams, events, launches and graphs.
internal static unsafe partial class CudaDriver
{
    [LibraryImport(Library)]
    internal static partial CuResult cuModuleLoadDataEx(out nint module, void* image, uint optionCount, int* options, void** optionValues);

    [LibraryImport(Library)]
    internal static partial CuResult cuModuleUnload(nint module);

    [LibraryImport(Library)]
    internal static partial CuResult cuModuleGetFunction(out nint function, nint module, byte* name);

    [LibraryImport(Library)]
    internal static partial CuResult cuFuncGetAttribute(out int value, CuFunctionAttribute attribute, nint function);

    [LibraryImport(Library)]
    internal static partial CuResult cuFuncSetAttribute(nint function, CuFunctionAttribute attribute, int value);

    [LibraryImport(Library)]
    internal static partial CuResult cuOccupancyMaxActiveBlocksPerMultiprocessor(out int blocks, nint function, int blockSize, nuint sharedBytes);

    [LibraryImport(Library)]
    internal static partial CuResult cuLaunchKernelEx(CuLaunchConfig* config, nint function, void** parameters, void** extra);

    [LibraryImport(Library)]
    internal static partial CuResult cuTensorMapEncodeTiled(
        CuTensorMap* map,
        int dataType,
        uint rank,
        ulong address,
        ulong* dimensions,
        ulong* strides,
        uint* box,
        uint* elementStrides,
        int interleave,
        int swizzle,
        int l2Promotion,
        int outOfBoundsFill);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamCreate(out nint stream, uint flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamDestroy_v2(nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamSynchronize(nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamQuery(nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamWaitEvent(nint stream, nint @event, uint flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuEventCreate(out nint @event, uint flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuEventDestroy_v2(nint @event);

    [LibraryImport(Library)]
    internal static partial CuResult cuEventRecord(nint @event, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuEventSynchronize(nint @event);

    [LibraryImport(Library)]
    internal static partial CuResult cuEventQuery(nint @event);

    [LibraryImport(Library)]
    internal static partial CuResult cuEventElapsedTime(out float milliseconds, nint start, nint end);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamBeginCapture_v2(nint stream, int mode);

    [LibraryImport(Library)]
    internal static partial CuResult cuStreamEndCapture(nint stream, out nint graph);

    [LibraryImport(Library)]
    internal static partial CuResult cuGraphDestroy(nint graph);

    [LibraryImport(Library)]
    internal static partial CuResult cuGraphInstantiateWithFlags(out nint executable, nint graph, ulong flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuGraphExecUpdate_v2(nint executable, nint graph, out CuGraphExecUpdateResultInfo info);

    [LibraryImport(Library)]
    internal static partial CuResult cuGraphUpload(nint executable, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuGraphLaunch(nint executable, nint stream);

    [LibraryImport(Library)]
    internal static partial CuResult cuGraphExecDestroy(nint executable);
}
