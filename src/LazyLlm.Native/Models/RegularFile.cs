using System.Runtime.InteropServices;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop;
using Microsoft.Win32.SafeHandles;

namespace LazyLlm.Native.Models;

/// <summary>
/// A regular file of a model folder, open for positioned reads: a file that shrinks under a reader gives a short read
/// and so a typed error, where a memory map would give a signal that kills the process. Safe for use by several threads.
/// </summary>
internal sealed class RegularFile : IDisposable
{
    private readonly SafeFileHandle _handle;

    private RegularFile(string path, SafeFileHandle handle, long length)
    {
        Path = path;
        _handle = handle;
        Length = length;
    }

    /// <summary>The path it was opened by.</summary>
    public string Path { get; }

    /// <summary>Bytes in the file when it was opened.</summary>
    public long Length { get; }

    /// <summary>Opens a file, or a link to one. A folder, a pipe or a device is refused without waiting for it.</summary>
    /// <exception cref="ModelFormatException">The file is missing, not a regular file, or may not be read.</exception>
    public static RegularFile Open(string path)
    {
        if (Directory.Exists(path))
        {
            throw new ModelFormatException(path, "is a folder; expected a file.");
        }

        SafeFileHandle? handle = null;
        try
        {
            handle = OpenHandle(path);
            long length = RandomAccess.GetLength(handle);
            var file = new RegularFile(path, handle, length);
            handle = null;
            return file;
        }
        catch (NotSupportedException e)
        {
            // A handle that cannot seek: a pipe, a socket, a terminal.
            throw new ModelFormatException(path, "is not a regular file; expected one that can be read at any position.", e);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ModelFormatException(path, "no such file, or a link to one that is gone.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException(path, $"cannot be opened: {e.Message}", e);
        }
        finally
        {
            handle?.Dispose();
        }
    }

    /// <summary>The whole of a small file.</summary>
    /// <exception cref="ModelFormatException">As <see cref="Open"/>; or the file is longer than <paramref name="limit"/> bytes.</exception>
    public static byte[] ReadAll(string path, int limit)
    {
        using RegularFile file = Open(path);
        if (file.Length > limit)
        {
            throw new ModelFormatException(path, $"has {file.Length:N0} bytes; expected at most {limit:N0}.");
        }

        byte[] bytes = new byte[file.Length];
        file.Read(0, bytes);
        return bytes;
    }

    /// <summary>Fills <paramref name="destination"/> from <paramref name="offset"/> on.</summary>
    /// <exception cref="ModelFormatException">The file has become shorter, or cannot be read.</exception>
    public void Read(long offset, Span<byte> destination)
    {
        try
        {
            int done = 0;
            while (done < destination.Length)
            {
                int count = RandomAccess.Read(_handle, destination[done..], offset + done);
                if (count == 0)
                {
                    throw new ModelFormatException(
                        Path,
                        $"ends at byte {offset + done:N0}, but had {Length:N0} bytes when it was opened. It was cut short meanwhile; fetch it again.");
                }

                done += count;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException(Path, $"cannot be read at byte {offset:N0}: {e.Message}", e);
        }
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _handle.Dispose();

    private static SafeFileHandle OpenHandle(string path)
    {
        if (!OperatingSystem.IsLinux() && !OperatingSystem.IsMacOS())
        {
            return File.OpenHandle(path);
        }

        SafeFileHandle handle = Libc.OpenWithoutWaiting(path);
        if (!handle.IsInvalid)
        {
            return handle;
        }

        const int NoSuchFile = 2;
        int error = Marshal.GetLastPInvokeError();
        string message = Marshal.GetPInvokeErrorMessage(error);
        throw error == NoSuchFile ? new FileNotFoundException(message) : new IOException(message);
    }
}
