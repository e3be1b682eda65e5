using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Interop.Cuda;

/// <summary>A native library that was found and opened.</summary>
/// <param name="Handle">The loader's handle.</param>
/// <param name="Path">The file, as far as it can be told; else the name that was asked for.</param>
internal sealed record LoadedLibrary(nint Handle, string Path)
{
    /// <summary>Opens the first candidate that loads and has a function.</summary>
    /// <param name="what">The library in plain words, for the error.</param>
    /// <param name="candidates">Names (left to the system's own search) and full paths.</param>
    /// <param name="function">A function that every version of the library has: another library of the name is passed over.</param>
    /// <param name="advice">What to do when none loads.</param>
    /// <exception cref="DeviceException">None loaded; the message lists every name and path with the loader's reason.</exception>
    internal static LoadedLibrary Open(string what, IEnumerable<string> candidates, string function, string advice)
    {
        var trace = new StringBuilder();
        foreach (string candidate in candidates)
        {
            string reason;
            if (System.IO.Path.IsPathRooted(candidate) && !File.Exists(candidate))
            {
                reason = "no such file";
            }
            else
            {
                try
                {
                    nint handle = NativeLibrary.Load(candidate);
                    if (NativeLibrary.TryGetExport(handle, function, out _))
                    {
                        return new LoadedLibrary(handle, Locate(candidate));
                    }

                    NativeLibrary.Free(handle);
                    reason = $"another library: it has no function {function}";
                }
                catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
                {
                    reason = LoaderText(e.Message);
                }
            }

            trace.Append(System.Globalization.CultureInfo.InvariantCulture, $"{Environment.NewLine}  {candidate}: {reason}");
        }

        throw new DeviceException($"{what} could not be loaded. {advice} Tried:{trace}");
    }

    // The runtime wraps the loader's own text in general advice; the text is on a line of its own.
    private static string LoaderText(string message)
    {
        string[] lines = message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return lines.Length > 1 ? string.Join("; ", lines.Skip(1).Distinct()) : message;
    }

    // A library opened by bare name is looked up among the process's modules, by name up to the version suffix.
    private static string Locate(string candidate)
    {
        if (System.IO.Path.IsPathRooted(candidate))
        {
            return candidate;
        }

        try
        {
            string stem = candidate.Split('.')[0] + ".";
            using Process process = Process.GetCurrentProcess();
            foreach (ProcessModule module in process.Modules)
            {
                if (System.IO.Path.GetFileName(module.FileName).StartsWith(stem, StringComparison.OrdinalIgnoreCase))
                {
                    return module.FileName;
                }
            }
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or InvalidOperationException or NotSupportedException)
        {
            // The path is for display only.
        }

        return candidate;
    }
}
