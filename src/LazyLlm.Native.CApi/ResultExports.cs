using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LazyLlm.Native.CApi;

/// <summary>Versions and results; see <c>lazyllm.h</c>. These never fail, and may be called from callbacks.</summary>
internal static unsafe class ResultExports
{
    private const uint AbiVersion = 1;

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_abi_version", CallConvs = [typeof(CallConvCdecl)])]
    public static uint GetAbiVersion() => AbiVersion;

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_version", CallConvs = [typeof(CallConvCdecl)])]
    public static byte* GetVersion() => Literal(LibraryVersion.Utf8);

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_result_code", CallConvs = [typeof(CallConvCdecl)])]
    public static int GetCode(nint result) =>
        (int)(result == 0 ? ResultCode.Ok : HandleTable.TryGet(result, out Failure? failure) ? failure.Code : ResultCode.InvalidHandle);

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_result_message", CallConvs = [typeof(CallConvCdecl)])]
    public static byte* GetMessage(nint result) =>
        result == 0 ? Literal(""u8) : HandleTable.TryGet(result, out Failure? failure) ? failure.Message : Literal("The result was destroyed."u8);

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_result_destroy", CallConvs = [typeof(CallConvCdecl)])]
    public static void Destroy(nint result)
    {
        if (HandleTable.TryGet(result, out Failure? failure) && HandleTable.Remove(result))
        {
            failure.Free();
        }
    }

    // A UTF-8 literal lies in the library's read-only data and ends with a NUL.
    private static byte* Literal(ReadOnlySpan<byte> text) => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(text));
}
