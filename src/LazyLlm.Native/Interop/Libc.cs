using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace LazyLlm.Native.Interop;

/// <summary>The one call of the C library that .NET has no name for: opening a file without waiting for it.</summary>
internal static partial class Libc
{
    /// <summary>
    /// Opens <paramref name="path"/> for reading. Unlike <see cref="File.OpenHandle"/> this does not wait for the other
    /// end of a named pipe. Only for Linux and macOS; the handle is invalid, and the last P/Invoke error set, on failure.
    /// </summary>
    public static SafeFileHandle OpenWithoutWaiting(string path)
    {
        // O_RDONLY | O_NONBLOCK | O_CLOEXEC, whose values the two systems do not share.
        int flags = OperatingSystem.IsMacOS() ? 0x4 | 0x1000000 : 0x800 | 0x80000;
        return new SafeFileHandle(Open(path, flags), ownsHandle: true);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
