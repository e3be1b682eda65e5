using System.Runtime.InteropServices;

namespace LazyLlm.Native.Interop.Cuda;

/// <summary>
/// The driver API (libcuda, nvcuda), under the names of the library's own exports. Every argument is blittable, so
/// each call is direct. Handles are <see cref="nint"/>, device addresses <see cref="ulong"/>. None of these calls may
/// suppress the GC transition: the driver takes locks and may wait.
/// <para><see cref="CudaLibraries.LoadDriver"/> must come first; it decides which library these names are bound to.</para>
/// </summary>
internal static unsafe partial class CudaDriver
{
    /// <summary>The name that <see cref="CudaLibraries"/> resolves to the chosen file.</summary>
    internal const string Library = "libcuda";

    /// <summary>The oldest driver that has every function below: CUDA 12.0.</summary>
    internal const int MinimumVersion = 12000;

    [LibraryImport(Library)]
    internal static partial CuResult cuInit(uint flags);

    [LibraryImport(Library)]
    internal static partial CuResult cuDriverGetVersion(out int version);

    [LibraryImport(Library)]
    internal static partial CuResult cuGetErrorName(CuResult error, out byte* name);

    [LibraryImport(Library)]
    internal static partial CuResult cuGetErrorString(CuResult error, out byte* text);

    [LibraryImport(Library)]
    internal static partial CuResult cuDeviceGetCount(out int count);

    [LibraryImport(Library)]
    internal static partial CuResult cuDeviceGet(out int device, int ordinal);

    [LibraryImport(Library)]
    internal static partial CuResult cuDeviceGetName(byte* name, int length, int device);

    [LibraryImport(Library)]
    internal static partial CuResult cuDeviceGetAttribute(out int value, CuDeviceAttribute attribute, int device);

    [LibraryImport(Library)]
    internal static partial CuResult cuDeviceTotalMem_v2(out nuint bytes, int device);

    [LibraryImport(Library)]
    internal static partial CuResult cuDevicePrimaryCtxRetain(out nint context, int device);

    [LibraryImport(Library)]
    internal static partial CuResult cuDevicePrimaryCtxRelease_v2(int device);

    [LibraryImport(Library)]
    internal static partial CuResult cuCtxSetCurrent(nint context);

    [LibraryImport(Library)]
    internal static partial CuResult cuCtxPushCurrent_v2(nint context);

    [LibraryImport(Library)]
    internal static partial CuResult cuCtxPopCurrent_v2(out nint context);

    [LibraryImport(Library)]
    internal static partial CuResult cuCtxSynchronize();

    [LibraryImport(Library)]
    internal static partial CuResult cuProfilerStart();

    [LibraryImport(Library)]
    internal static partial CuResult cuProfilerStop();
}
