using System.Diagnostics;
using System.Runtime.Versioning;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_read_gives_the_bytes_asked_for()
    {
        byte[] bytes = SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "F16", "[2]", 0, 4)},{SafetensorsBytes.Tensor("b", "F32", "[2]", 4, 12)}}}", 12);
        for (int i = 0; i < 12; i++)
        {
            bytes[^(12 - i)] = (byte)i;
        }

        using SafetensorsFile file = Open(bytes);
        var read = new byte[3];
        file.Read(file.Tensors[1], 5, read);
        Assert.Equal([9, 10, 11], read);
        file.Read(file.Tensors[1], 8, []);
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(0, 5)]
    [InlineData(3, 2)]
    [InlineData(5, 0)]
    [InlineData(long.MaxValue, 1)]
    public void A_read_outside_its_tensor_is_misuse(long offset, int length)
    {
        using SafetensorsFile file = Open(SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "F16", "[2]", 0, 4)},{SafetensorsBytes.Tensor("b", "F32", "[2]", 4, 12)}}}", 12));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(file.Tensors[0], offset, new byte[length]));
    }

    [Fact]
    public void A_file_cut_short_after_it_was_opened_is_a_typed_error()
    {
        using SafetensorsFile file = Open(SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "U8", "[100000]", 0, 100000)}}}", 100000));
        using (FileStream stream = File.OpenWrite(file.Path))
        {
            stream.SetLength(50_000);
        }

        var error = Assert.Throws<ModelFormatException>(() => file.Read(file.Tensors[0], 0, new byte[100_000]));
        Assert.Contains(file.Path, error.Message, StringComparison.Ordinal);
        Assert.Contains("ends at byte 50,000", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_replaced_after_it_was_opened_is_still_the_old_one()
    {
        byte[] bytes = SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "U8", "[1]", 0, 1)}}}", 1);
        bytes[^1] = 7;
        using SafetensorsFile file = Open(bytes);
        File.WriteAllText(_folder["other"], "nothing of the kind");
        File.Move(_folder["other"], file.Path, overwrite: true);
        var read = new byte[1];
        file.Read(file.Tensors[0], 0, read);
        Assert.Equal(7, read[0]);
    }

    [Fact]
    public void A_tensor_past_2_GiB_reads_from_its_far_end()
    {
        // A sparse file: 3 GiB by its length, a few pages on disk.
        const long Length = 3L << 30;
        byte[] start = SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "BF16", $"[{Length / 2}]", 0, Length)}}}");
        using (SafeFileHandle handle = File.OpenHandle(_folder["x.safetensors"], FileMode.CreateNew, FileAccess.Write))
        {
            RandomAccess.Write(handle, start, 0);
            RandomAccess.Write(handle, [1, 2, 3, 4], start.Length + Length - 4);
        }

        using SafetensorsFile file = SafetensorsFile.Open(_folder["x.safetensors"]);
        Assert.Equal(Length, file.Tensors[0].Length);
        var read = new byte[4];
        file.Read(file.Tensors[0], Length - 4, read);
        Assert.Equal([1, 2, 3, 4], read);
    }

    [Fact]
    public void Threads_may_read_at_once()
    {
        byte[] bytes = SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "U8", "[65536]", 0, 65536)}}}", 65_536);
        for (int i = 0; i < 65_536; i++)
        {
            bytes[bytes.Length - 65_536 + i] = (byte)(i >> 8);
        }

        using SafetensorsFile file = Open(bytes);
        Parallel.For(0, 256, i =>
        {
            var read = new byte[256];
            file.Read(file.Tensors[0], i * 256, read);
            Assert.All(read, value => Assert.Equal((byte)i, value));
        });
    }

    [Fact]
    public void A_read_after_dispose_is_misuse()
    {
        SafetensorsFile file = Open(SafetensorsBytes.FileWith($"{{{SafetensorsBytes.Tensor("a", "U8", "[1]", 0, 1)}}}", 1));
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Read(file.Tensors[0], 0, new byte[1]));
    }

    [Fact]
    public void A_missing_file_is_refused() => AssertNotOpened(_folder["x.safetensors"], "no such file");

    [Fact]
    public void A_path_through_a_file_is_refused()
    {
        File.WriteAllText(_folder["x"], "");
        AssertNotOpened(Path.Combine(_folder["x"], "model.safetensors"), "");
    }

    [Fact]
    public void A_folder_is_refused()
    {
        Directory.CreateDirectory(_folder["x.safetensors"]);
        AssertNotOpened(_folder["x.safetensors"], "is a folder");
    }

    [Fact]
    public void A_named_pipe_is_refused_without_waiting_for_its_writer()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no named pipes among files.");
        using (Process process = Process.Start("mkfifo", [_folder["x.safetensors"]]))
        {
            process.WaitForExit();
            Assert.Equal(0, process.ExitCode);
        }

        AssertNotOpened(_folder["x.safetensors"], "not a regular file");
    }

    [Fact]
    public void A_device_is_refused()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no devices among files.");
        AssertNotOpened("/dev/zero", "");
    }

    [Fact]
    [UnsupportedOSPlatform("windows")]
    public void A_file_that_may_not_be_read_is_refused()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess, "The system does not deny this user any file.");
        File.WriteAllBytes(_folder["x.safetensors"], SafetensorsBytes.FileWith("{}"));
        File.SetUnixFileMode(_folder["x.safetensors"], UnixFileMode.None);
        AssertNotOpened(_folder["x.safetensors"], "cannot be opened");
    }

    [Fact]
    public void A_link_to_a_file_is_followed_and_one_to_nothing_refused()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows lets few users make links.");
        File.WriteAllBytes(_folder["blob"], SafetensorsBytes.FileWith("{}"));
        File.CreateSymbolicLink(_folder["x.safetensors"], "blob");
        File.CreateSymbolicLink(_folder["y.safetensors"], "gone");
        File.CreateSymbolicLink(_folder["z.safetensors"], "z.safetensors");
        using (SafetensorsFile file = SafetensorsFile.Open(_folder["x.safetensors"]))
        {
            Assert.Empty(file.Tensors);
        }

        AssertNotOpened(_folder["y.safetensors"], "link to one that is gone");
        AssertNotOpened(_folder["z.safetensors"], "cannot be opened");
    }

    private static void AssertNotOpened(string path, string words)
    {
        var error = Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(path));
        Assert.Equal(path, error.Path);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    private SafetensorsFile Open(byte[] bytes)
    {
        File.WriteAllBytes(_folder["x.safetensors"], bytes);
        return SafetensorsFile.Open(_folder["x.safetensors"]);
    }
}
