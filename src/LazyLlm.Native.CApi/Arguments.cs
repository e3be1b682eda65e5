using System.Text;

namespace LazyLlm.Native.CApi;

/// <summary>Checks and reads what C callers pass.</summary>
internal static unsafe class Arguments
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static void RequireNotNull(void* pointer, string name)
    {
        if (pointer is null)
        {
            CallException.Throw(ResultCode.InvalidArgument, $"{name} is null.");
        }
    }

    /// <summary>Checks <c>struct_size</c>, the first field of every struct.</summary>
    public static void RequireSize(nuint* structure, int expected, string name)
    {
        RequireNotNull(structure, name);
        if (*structure != (nuint)expected)
        {
            CallException.Throw(ResultCode.StructSize, $"{name}: struct_size is {*structure}, expected {expected}. Set it to sizeof, and compile with the header of this library.");
        }
    }

    /// <summary>Checks a field that is kept for later versions: what is zero today may mean something then.</summary>
    public static void RequireZero(int reserved, string name)
    {
        if (reserved != 0)
        {
            CallException.Throw(ResultCode.InvalidArgument, $"{name}: reserved is {reserved}, expected 0. Set what you do not use to zero.");
        }
    }

    public static int Count(void* data, nuint count, string name)
    {
        if (data is null && count > 0)
        {
            CallException.Throw(ResultCode.InvalidArgument, $"{name} is null, but its length is {count}.");
        }

        if (count > int.MaxValue)
        {
            CallException.Throw(ResultCode.InvalidArgument, $"{name}: the length {count} is more than {int.MaxValue}.");
        }

        return (int)count;
    }

    public static ReadOnlySpan<int> Tokens(int* tokens, nuint count) => new(tokens, Count(tokens, count, "tokens"));

    public static string Text(byte* text, nuint length, string name)
    {
        int count = Count(text, length, name);
        try
        {
            return StrictUtf8.GetString(new ReadOnlySpan<byte>(text, count));
        }
        catch (DecoderFallbackException error)
        {
            CallException.Throw(ResultCode.InvalidUtf8, $"{name} is not valid UTF-8 at byte {error.Index} of {count}.");
            throw;
        }
    }

    /// <summary>Says how much there is, and copies it if it fits.</summary>
    public static void Give<T>(ReadOnlySpan<T> values, T* buffer, nuint capacity, nuint* needed, string name)
        where T : unmanaged
    {
        *needed = (nuint)values.Length;
        if ((nuint)values.Length > capacity)
        {
            CallException.Throw(ResultCode.BufferTooSmall, $"{name}: the buffer holds {capacity}, needed are {values.Length}.");
        }

        if (buffer is null && values.Length > 0)
        {
            CallException.Throw(ResultCode.InvalidArgument, $"{name} is null.");
        }

        values.CopyTo(new Span<T>(buffer, values.Length));
    }
}
