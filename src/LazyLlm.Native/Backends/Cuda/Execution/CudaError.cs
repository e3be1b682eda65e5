using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>Turns result codes into exceptions that name the function, the code and the operation at hand.</summary>
internal static unsafe class CudaError
{
    /// <summary>Throws if a driver call failed that belongs to no context.</summary>
    /// <param name="result">The call itself; its text gives the function's name.</param>
    /// <param name="call">Filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(CuResult result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != CuResult.Success)
        {
            Throw(result, null, null, call);
        }
    }

    /// <summary>Whether a result poisons its context, so that every later call fails.</summary>
    public static bool IsSticky(CuResult result) => result
        is CuResult.EccUncorrectable
        or CuResult.NvlinkUncorrectable
        or CuResult.Contained
        or CuResult.IllegalAddress
        or CuResult.LaunchTimeout
        or CuResult.ContextIsDestroyed
        or CuResult.Assert
        or CuResult.HardwareStackError
        or CuResult.IllegalInstruction
        or CuResult.MisalignedAddress
        or CuResult.InvalidAddressSpace
        or CuResult.InvalidProgramCounter
        or CuResult.LaunchFailed
        or CuResult.TensorMemoryLeak
        or CuResult.ExternalDevice
        or CuResult.Unknown;

    /// <summary>Throws what a failed call means: lost device, too little memory, or another error.</summary>
    /// <param name="result">The result.</param>
    /// <param name="context">The context that the call belongs to; null if it has none.</param>
    /// <param name="operation">What the engine was doing; null for the operation that is open on this thread.</param>
    /// <param name="call">The text of the call.</param>
    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Throw(CuResult result, CudaContext? context, string? operation, string call) =>
        throw Create(result, context, operation, call);

    /// <summary>Makes the exception for a failed call, and marks the context as lost where it is.</summary>
    public static DeviceException Create(CuResult result, CudaContext? context, string? operation, string call)
    {
        string api = FunctionName(call);
        string where = operation ?? OperationScope.Describe();
        string name = Name(result);
        string text = Text(result);
        if (IsSticky(result) && context is not null)
        {
            string advice = context.LaunchesSynchronously
                ? "The device is lost to this process; start it again."
                : $"It was reported there, but kernels run asynchronously, so it may come from an earlier one; {CudaContext.SynchronousVariable}=1 finds the kernel. The device is lost to this process; start it again.";
            return context.Health.Report(new DeviceLostException(api, (int)result, name, text, where, advice));
        }

        if (result == CuResult.OutOfMemory)
        {
            var cause = new CudaException(api, (int)result, name, text, where);
            return new DeviceMemoryException(where, -1, -1, "Other work on this device may hold the memory; use a smaller context or fewer sessions.", cause);
        }

        return new CudaException(api, (int)result, name, text, where, Advice(result));
    }

    /// <summary>The symbolic name of a result, e.g. <c>CUDA_ERROR_INVALID_VALUE</c>.</summary>
    public static string Name(CuResult result) =>
        CudaDriver.cuGetErrorName(result, out byte* name) == CuResult.Success && name != null
            ? Marshal.PtrToStringUTF8((nint)name)!
            : $"CUDA error {(int)result}";

    /// <summary>A result in the driver's words.</summary>
    public static string Text(CuResult result) =>
        CudaDriver.cuGetErrorString(result, out byte* text) == CuResult.Success && text != null
            ? Marshal.PtrToStringUTF8((nint)text)!
            : "a code that this driver does not know";

    private static string Advice(CuResult result) => result switch
    {
        CuResult.NoDevice => "The driver sees no GPU: check nvidia-smi, CUDA_VISIBLE_DEVICES, and that the container was given the GPU.",
        CuResult.InvalidDevice => "The device number is too high; CUDA_VISIBLE_DEVICES may hide devices.",
        CuResult.SystemDriverMismatch => "The kernel module and the driver's libraries differ in version; reboot, or reload the module.",
        CuResult.CompatNotSupportedOnDevice => "The forward-compatibility driver does not support this GPU; use the driver of the system.",
        CuResult.StubLibrary => "The file is the toolkit's stub, not a driver; take the stubs folder off the library path.",
        CuResult.UnsupportedPtxVersion => "The compiler is newer than the driver: update the driver, or install an older NVRTC.",
        CuResult.LaunchOutOfResources => "The kernel needs more registers or shared memory than a block may have.",
        _ => string.Empty,
    };

    // "CudaDriver.cuMemAlloc_v2(out ...)" names cuMemAlloc_v2.
    private static string FunctionName(string call)
    {
        int end = call.IndexOf('(', StringComparison.Ordinal);
        string qualified = end < 0 ? call : call[..end];
        return qualified[(qualified.LastIndexOf('.') + 1)..].Trim();
    }
}
