using System.Runtime.InteropServices;
using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.CApi;

/// <summary>A result that tells of a failure: code, and message in memory that C may read until it is freed.</summary>
internal sealed unsafe class Failure
{
    private byte* _message;

    private Failure(ResultCode code, string message)
    {
        Code = code;
        // A NUL (out of a caller's path, say) would end the text for C.
        byte[] text = Encoding.UTF8.GetBytes(message.Replace("\0", "\\0", StringComparison.Ordinal));
        _message = (byte*)NativeMemory.Alloc((nuint)text.Length + 1);
        text.CopyTo(new Span<byte>(_message, text.Length));
        _message[text.Length] = 0;
    }

    public ResultCode Code { get; }

    public byte* Message => _message;

    /// <summary>The handle of a new result for an exception that reached the boundary.</summary>
    public static nint From(Exception exception) => HandleTable.Add(new Failure(CodeOf(exception), exception switch
    {
        AggregateException { InnerException: { } inner } => inner.Message,
        OperationCanceledException => "The progress callback asked to stop. Everything is as it was before the call.",
        _ => exception.Message,
    }));

    public void Free()
    {
        NativeMemory.Free(_message);
        _message = null;
    }

    private static ResultCode CodeOf(Exception exception) => exception switch
    {
        CallException call => call.Code,
        OperationCanceledException => ResultCode.Cancelled,
        ContextLengthException => ResultCode.ContextLength,
        ModelFormatException => ResultCode.ModelFormat,
        InvalidLogitsException => ResultCode.InvalidLogits,
        SessionStateException => ResultCode.State,
        InvalidOptionException => ResultCode.InvalidArgument,
        DeviceMemoryException or OutOfMemoryException => ResultCode.OutOfMemory,
        DeviceLostException => ResultCode.DeviceLost,
        DeviceException => ResultCode.Device,
        ObjectDisposedException => ResultCode.InvalidHandle,
        ArgumentException => ResultCode.InvalidArgument,
        _ => ResultCode.Internal,
    };
}
