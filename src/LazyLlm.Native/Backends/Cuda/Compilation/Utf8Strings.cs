using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>C strings, and arrays of them, that live until this is disposed.</summary>
internal sealed unsafe class Utf8Strings : IDisposable
{
    private readonly List<nint> _blocks = [];

    /// <summary>Makes a C string.</summary>
    public byte* Add(string text)
    {
        nint pointer = Marshal.StringToCoTaskMemUTF8(text);
        _blocks.Add(pointer);
        return (byte*)pointer;
    }

    /// <summary>Makes an array of C strings.</summary>
    public byte** Add(IEnumerable<string> texts)
    {
        string[] all = [.. texts];
        var array = (byte**)Marshal.AllocCoTaskMem(Math.Max(all.Length, 1) * sizeof(byte*));
        _blocks.Add((nint)array);
        for (int i = 0; i < all.Length; i++)
        {
            array[i] = Add(all[i]);
        }

        return array;
    }

    /// <summary>Frees all of them.</summary>
    public void Dispose()
    {
        _blocks.ForEach(Marshal.FreeCoTaskMem);
        _blocks.Clear();
    }
}
