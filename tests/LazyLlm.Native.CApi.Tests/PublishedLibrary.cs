using System.Diagnostics;

namespace LazyLlm.Native.CApi.Tests;

/// <summary>The library as C programs get it, published once for all tests, and programs run beside it without .NET.</summary>
public sealed class PublishedLibrary : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("lazyllm-capi-").FullName;
    private readonly Lazy<(int Code, string Output)> _publish;

    public PublishedLibrary() => _publish = new(() => Run(
        "dotnet",
        ["publish", Path.Combine(RepositoryFiles.Root, "src", "LazyLlm.Native.CApi"), "-c", "Release", "-r", "linux-x64", "-o", _folder, "--nologo", "-v", "quiet"],
        withDotnet: true));

    /// <summary>The shared library; skips the test aloud where it cannot be made.</summary>
    public string Require()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The C library is tested on Linux.");
        Assert.SkipUnless(Finds("cc") && (Finds("clang") || Finds("gcc")), "There is no C compiler and linker (cc, and clang or gcc).");
        Assert.True(_publish.Value.Code == 0, _publish.Value.Output);
        return Path.Combine(_folder, "liblazyllm.so");
    }

    /// <summary>Compiles a C program against header and library, every warning an error.</summary>
    public string Compile(string source)
    {
        string library = Require();
        string program = Path.Combine(_folder, Path.GetFileNameWithoutExtension(source));
        string include = Path.Combine(RepositoryFiles.Root, "src", "LazyLlm.Native.CApi", "include");
        (int code, string output) = Run("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I" + include, source, "-L" + Path.GetDirectoryName(library), "-llazyllm", "-Wl,-rpath," + _folder, "-pthread", "-o", program], withDotnet: false);
        Assert.True(code == 0, output);
        return program;
    }

    /// <summary>A file of a test's own beside the library.</summary>
    public string Scratch(string name) => Path.Combine(_folder, name);

    /// <summary>Runs a program to its end, by default in an environment that knows no .NET.</summary>
    public static (int Code, string Output) Run(string program, string[] arguments, bool withDotnet = false)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (!withDotnet)
        {
            start.Environment.Clear();
            start.Environment["PATH"] = "/usr/bin:/bin";
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }

    /// <summary>Whether a program is on the path of the programs run here.</summary>
    public static bool Finds(string program) => File.Exists("/usr/bin/" + program) || File.Exists("/bin/" + program);

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
