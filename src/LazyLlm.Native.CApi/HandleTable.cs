using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace LazyLlm.Native.CApi;

/// <summary>
/// What the handles of C callers stand for. A handle is a number that is never given out twice, so a closed one can
/// never mean something else, and one of another kind is found out.
/// </summary>
internal static class HandleTable
{
    private static readonly ConcurrentDictionary<nint, object> Objects = new();

    // Far from zero, and even steps: small integers and off-by-one handles are found out too.
    private static long s_last = 0x1000_0000;

    public static nint Add(object target)
    {
        nint handle = (nint)Interlocked.Add(ref s_last, 16);
        Objects[handle] = target;
        return handle;
    }

    public static bool TryGet<T>(nint handle, [NotNullWhen(true)] out T? target)
        where T : class
    {
        target = Objects.TryGetValue(handle, out object? found) ? found as T : null;
        return target is not null;
    }

    public static T Get<T>(nint handle)
        where T : class
    {
        if (!TryGet(handle, out T? target))
        {
            ThrowInvalid(handle);
        }

        return target;
    }

    /// <summary>What a handle stands for, and forgets the handle. Of several callers at once, one gets it.</summary>
    public static T Take<T>(nint handle)
        where T : class
    {
        T target = Get<T>(handle);
        if (!Objects.TryRemove(handle, out _))
        {
            ThrowInvalid(handle);
        }

        return target;
    }

    /// <summary>Forgets a handle; false where another caller was first.</summary>
    public static bool Remove(nint handle) => Objects.TryRemove(handle, out _);

    [DoesNotReturn]
    private static void ThrowInvalid(nint handle) => CallException.Throw(
        ResultCode.InvalidHandle,
        handle == 0 ? "The handle is null; open one first." : $"The handle 0x{handle:x} is closed, of another kind, or was never given out.");
}
