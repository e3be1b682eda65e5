using System.Diagnostics;

[assembly: Xunit.AssemblyFixture(typeof(LazyLlm.Native.CApi.Tests.PublishedLibrary))]

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

    /// <summary>
    /// A folder as the archive has it: a library that chooses a build, and the builds. They are all the same build here, the one
    /// for any machine; the archive's own are tried by <c>build/check-packages.sh</c>.
    /// </summary>
    public string RequireChoosing()
    {
        string library = Require();
        string folder = Directory.CreateDirectory(Path.Combine(_folder, "choosing")).FullName;
        string chooser = Path.Combine(folder, "liblazyllm.so");
        if (!File.Exists(chooser))
        {
            foreach (string level in (ReadOnlySpan<string>)["x86-64-v2", "x86-64-v3", "x86-64-v4"])
            {
                File.CreateSymbolicLink(Path.Combine(folder, $"liblazyllm-{level}.so"), library);
            }

            string dispatch = Path.Combine(RepositoryFiles.Root, "src", "dispatch");
            Compile(["-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-z,nodelete", "-I" + dispatch, Path.Combine(dispatch, "library.c"), "-ldl", "-pthread", "-o", chooser]);
        }

        return folder;
    }

    /// <summary>Compiles a C program against header and library, every warning an error.</summary>
    /// <param name="source">The program.</param>
    /// <param name="folder">Where the library lies; that of the published one by default.</param>
    public string Compile(string source, string? folder = null)
    {
        Require();
        folder ??= _folder;
        string program = Path.Combine(folder, Path.GetFileNameWithoutExtension(source));
        Compile([source, "-L" + folder, "-llazyllm", "-Wl,-rpath," + folder, "-ldl", "-pthread", "-o", program]);
        return program;
    }

    /// <summary>A file of a test's own beside the library.</summary>
    public string Scratch(string name) => Path.Combine(_folder, name);

    /// <summary>Runs a program to its end, by default in an environment that knows no .NET and has the given variables alone.</summary>
    public static (int Code, string Output) Run(string program, string[] arguments, bool withDotnet = false, params (string Name, string Value)[] variables)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (!withDotnet)
        {
            start.Environment.Clear();
            start.Environment["PATH"] = "/usr/bin:/bin";
            foreach ((string name, string value) in variables)
            {
                start.Environment[name] = value;
            }
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }

    /// <summary>Whether a program is on the path of the programs run here.</summary>
    public static bool Finds(string program) => File.Exists("/usr/bin/" + program) || File.Exists("/bin/" + program);

    private static void Compile(string[] arguments)
    {
        string include = Path.Combine(RepositoryFiles.Root, "src", "LazyLlm.Native.CApi", "include");
        (int code, string output) = Run("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I" + include, .. arguments]);
        Assert.True(code == 0, output);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
