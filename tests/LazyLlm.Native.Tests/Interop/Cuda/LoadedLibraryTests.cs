using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;
using Xunit;

namespace LazyLlm.Native.Tests.Interop.Cuda;

[Collection(EnvironmentTests.Name)]
public sealed class LoadedLibraryTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_failed_load_names_every_path_and_reason()
    {
        string absent = Path.Combine(_folder.FullName, "libabsent.so.1");
        string garbage = Path.Combine(_folder.FullName, "libgarbage.so");
        File.WriteAllText(garbage, "not a library");
        const string Bare = "liblazyllm-nowhere.so.7";

        DeviceException error = Assert.Throws<DeviceException>(() => LoadedLibrary.Open("The driver", [absent, garbage, Bare], "strlen", "Install it."));

        Assert.StartsWith("The driver could not be loaded. Install it. Tried:", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{absent}: no such file", error.Message, StringComparison.Ordinal);
        string[] lines = error.Message.Split(Environment.NewLine);
        Assert.Equal(4, lines.Length);
        Assert.Contains(garbage + ": ", lines[2], StringComparison.Ordinal);
        Assert.Contains(Bare + ": ", lines[3], StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
        {
            Assert.Contains("file too short", lines[2], StringComparison.Ordinal);
            Assert.Contains("cannot open shared object file", lines[3], StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_first_that_loads_is_taken_and_located()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Skip("Names a library of Linux.");
        }

        LoadedLibrary library = LoadedLibrary.Open("The C library", ["/nowhere/libc.so.6", "libc.so.6"], "strlen", string.Empty);

        Assert.NotEqual(0, library.Handle);
        Assert.True(File.Exists(library.Path), library.Path);
    }

    [Fact]
    public void A_library_that_is_another_one_is_passed_over_and_named()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Skip("Names libraries of Linux.");
        }

        DeviceException error = Assert.Throws<DeviceException>(() => LoadedLibrary.Open("The driver", ["libm.so.6", "libc.so.6"], "cuDriverGetVersion", string.Empty));
        Assert.Contains("libm.so.6: another library: it has no function cuDriverGetVersion", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("libm.so.6", LoadedLibrary.Open("The mathematics library", ["libc.so.6", "libm.so.6"], "cos", string.Empty).Path, StringComparison.Ordinal);
    }

    [Fact]
    public void Nvrtc_of_the_drivers_generation_comes_first()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Equal("nvrtc64_130_0.dll", LibrarySearch.Nvrtc(13).First());
            return;
        }

        // Everywhere, before another version anywhere.
        Assert.Equal(["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"], LibrarySearch.Nvrtc(13).Select(Path.GetFileName).Distinct());
        Assert.Equal(["libnvrtc.so.12", "libnvrtc.so", "libnvrtc.so.13"], LibrarySearch.Nvrtc(12).Select(Path.GetFileName).Distinct());
        Assert.True(LibrarySearch.Nvrtc(12).ToList().IndexOf("/usr/local/cuda/lib64/libnvrtc.so.12") < LibrarySearch.Nvrtc(12).ToList().IndexOf("libnvrtc.so"));
        Assert.Equal("libnvrtc.so.12", LibrarySearch.Nvrtc(12).First());
        Assert.Contains("/usr/local/cuda/lib64/libnvrtc.so.12", LibrarySearch.Nvrtc(12));
        Assert.Equal("libcuda.so.1", LibrarySearch.Driver().First());
    }

    [Fact]
    public void Wheels_of_an_active_python_environment_are_searched()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("The folders of Linux are made here.");
        }

        string lib = Path.Combine(_folder.FullName, "lib", "python3.12", "site-packages", "nvidia", "cuda_nvrtc", "lib");
        Directory.CreateDirectory(lib);
        string? before = Environment.GetEnvironmentVariable("VIRTUAL_ENV");
        try
        {
            Environment.SetEnvironmentVariable("VIRTUAL_ENV", _folder.FullName);
            Assert.Contains(Path.Combine(lib, "libnvrtc.so.12"), LibrarySearch.Nvrtc(12));
        }
        finally
        {
            Environment.SetEnvironmentVariable("VIRTUAL_ENV", before);
        }
    }
}
