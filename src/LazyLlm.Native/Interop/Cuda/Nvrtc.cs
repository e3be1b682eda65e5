using System.Runtime.InteropServices;

namespace LazyLlm.Native.Interop.Cuda;

/// <summary>NVRTC's result codes that the engine tells apart (<c>nvrtcResult</c>).</summary>
internal enum NvrtcResult
{
    Success = 0,
    OutOfMemory = 1,
    InvalidOption = 5,
    Compilation = 6,
    BuiltinOperationFailure = 7,
}

/// <summary>The run-time compiler (libnvrtc, nvrtc64), under the names of its own exports.</summary>
/// <remarks><see cref="CudaLibraries.LoadNvrtc"/> must come first; it decides which library these names are bound to.</remarks>
internal static unsafe partial class Nvrtc
{
    /// <summary>The name that <see cref="CudaLibraries"/> resolves to the chosen file.</summary>
    internal const string Library = "libnvrtc";

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcVersion(out int major, out int minor);

    [LibraryImport(Library)]
    internal static partial byte* nvrtcGetErrorString(NvrtcResult result);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcCreateProgram(out nint program, byte* source, byte* name, int headerCount, byte** headers, byte** includeNames);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcDestroyProgram(ref nint program);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcCompileProgram(nint program, int optionCount, byte** options);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetProgramLogSize(nint program, out nuint bytes);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetProgramLog(nint program, byte* log);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetCUBINSize(nint program, out nuint bytes);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetCUBIN(nint program, byte* cubin);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetPTXSize(nint program, out nuint bytes);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetPTX(nint program, byte* ptx);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetNumSupportedArchs(out int count);

    [LibraryImport(Library)]
    internal static partial NvrtcResult nvrtcGetSupportedArchs(int* architectures);
}
