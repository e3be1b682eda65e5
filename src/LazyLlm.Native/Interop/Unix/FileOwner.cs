using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LazyLlm.Native.Interop.Unix;

/// <summary>Who owns a file, which .NET does not tell.</summary>
[SupportedOSPlatform("linux")]
internal static unsafe partial class FileOwner
{
    private const int CurrentFolder = -100; // AT_FDCWD
    private const uint WantOwner = 0x8; // STATX_UID
    private const int OwnerOffset = 20; // stx_uid; struct statx is the same on every architecture
    private const int StatxBytes = 256;

    /// <summary>Whether a file or folder (links followed) belongs to the user who runs this process.</summary>
    /// <param name="path">The path.</param>
    /// <returns>False also where it cannot be told.</returns>
    public static bool IsCurrentUser(string path)
    {
        byte* status = stackalloc byte[StatxBytes];
        return statx(CurrentFolder, path, 0, WantOwner, status) == 0 && *(uint*)(status + OwnerOffset) == geteuid();
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, byte* status);

    [LibraryImport("libc")]
    private static partial uint geteuid();
}
