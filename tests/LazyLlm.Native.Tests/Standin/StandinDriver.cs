using System.Runtime.InteropServices;
using System.Text;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>
/// A copy of the stand-in driver of tests/cuda-standin, loaded apart from the one that the engine's bindings use, so that
/// the self-tests' faults and options touch nobody else's tests.
/// </summary>
internal sealed unsafe class StandinDriver
{
    private static readonly Lazy<StandinDriver> Copy = new(() => new StandinDriver());

    private readonly nint _library;

    private StandinDriver()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lazyllm-standin-");
        foreach (string file in Directory.GetFiles(StandinBuild.Folder).Where(file => Path.GetExtension(file) is ".h" || Path.GetFileName(file) == "libcuda-standin.so"))
        {
            File.Copy(file, Path.Combine(folder.FullName, Path.GetFileName(file)));
        }

        _library = NativeLibrary.Load(Path.Combine(folder.FullName, "libcuda-standin.so"));
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Delete(recursive: true);
        Set("quiet", 1);
        Check(Int("cuInit", 0));
        nint context;
        Check(((delegate* unmanaged<nint*, int, int>)Export("cuDevicePrimaryCtxRetain"))(&context, 0));
        Context = context;
    }

    /// <summary>The primary context of this copy.</summary>
    public nint Context { get; }

    /// <summary>Why the last launch failed, in words.</summary>
    public string LastError
    {
        get
        {
            byte* text = stackalloc byte[1024];
            ((delegate* unmanaged<byte*, int, int>)Export("standin_last_error"))(text, 1024);
            return Marshal.PtrToStringUTF8((nint)text)!;
        }
    }

    /// <summary>The tests' copy; skips the test aloud where the stand-in cannot be built.</summary>
    public static StandinDriver Require()
    {
        Assert.SkipWhen(StandinBuild.Ensure() is not null, StandinBuild.Ensure() ?? string.Empty);
        return Copy.Value;
    }

    public nint Export(string name) => NativeLibrary.GetExport(_library, name);

    /// <summary>Calls a function of one number or handle.</summary>
    public int Int(string name, long argument) => ((delegate* unmanaged<long, int>)Export(name))(argument);

    public void Set(string name, long value) => Set(name, value.ToString());

    /// <summary>Sets an option: see tests/cuda-standin/README.md.</summary>
    public void Set(string name, string value)
    {
        fixed (byte* first = Utf8(name), second = Utf8(value))
        {
            Assert.Equal(0, ((delegate* unmanaged<byte*, byte*, int>)Export("standin_set"))(first, second));
        }
    }

    /// <summary>Reads a counter or an option.</summary>
    public long Get(string name)
    {
        fixed (byte* first = Utf8(name))
        {
            return ((delegate* unmanaged<byte*, long>)Export("standin_get"))(first);
        }
    }

    /// <summary>Options, faults and errors as at the start, but no words on stderr.</summary>
    public void Reset()
    {
        ((delegate* unmanaged<void>)Export("standin_reset"))();
        Set("quiet", 1);
    }

    internal static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static void Check(int result) => Assert.Equal(0, result);
}
