using System.Diagnostics.CodeAnalysis;

namespace LazyLlm.Native.CApi;

/// <summary>A call that this interface refuses by itself. Never crosses the boundary: it becomes a result.</summary>
internal sealed class CallException(ResultCode code, string message) : Exception(message)
{
    /// <summary>The result's code.</summary>
    public ResultCode Code { get; } = code;

    [DoesNotReturn]
    public static void Throw(ResultCode code, string message) => throw new CallException(code, message);
}
