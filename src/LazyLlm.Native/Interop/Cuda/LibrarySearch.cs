namespace LazyLlm.Native.Interop.Cuda;

/// <summary>Where the driver and NVRTC may lie, in the order in which they are tried.</summary>
internal static class LibrarySearch
{
    /// <summary>Names and paths for the driver.</summary>
    internal static IEnumerable<string> Driver()
    {
        if (OperatingSystem.IsWindows())
        {
            return ["nvcuda.dll"];
        }

        string[] names = ["libcuda.so.1", "libcuda.so"];
        string[] folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/run/opengl-driver/lib"];
        return names.Concat(folders.SelectMany(folder => names.Select(name => Path.Combine(folder, name))));
    }

    /// <summary>
    /// Names and paths for NVRTC. The version that matches the driver's CUDA version is looked for everywhere before another
    /// one is taken: the driver may refuse the machine code of a newer one.
    /// </summary>
    /// <param name="driverMajor">Major CUDA version of the driver.</param>
    internal static IEnumerable<string> Nvrtc(int driverMajor)
    {
        string[] folders = [.. NvrtcFolders().Distinct()];
        return NvrtcNames(driverMajor).SelectMany(name => folders.Select(folder => Path.Combine(folder, name)).Prepend(name));
    }

    /// <summary>The file names of NVRTC, the best first.</summary>
    /// <param name="driverMajor">Major CUDA version of the driver.</param>
    internal static string[] NvrtcNames(int driverMajor)
    {
        if (OperatingSystem.IsWindows())
        {
            return driverMajor >= 13 ? ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"] : ["nvrtc64_120_0.dll", "nvrtc64_130_0.dll"];
        }

        return driverMajor >= 13
            ? ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
            : ["libnvrtc.so.12", "libnvrtc.so", "libnvrtc.so.13"];
    }

    private static IEnumerable<string> NvrtcFolders()
    {
        foreach (string variable in (string[])["CUDA_HOME", "CUDA_PATH"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } toolkit)
            {
                foreach (string folder in ToolkitFolders(toolkit))
                {
                    yield return folder;
                }
            }
        }

        if (OperatingSystem.IsWindows())
        {
            string programs = Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles);
            foreach (string toolkit in Matches(Path.Combine(programs, "NVIDIA GPU Computing Toolkit", "CUDA"), "v*"))
            {
                yield return Path.Combine(toolkit, "bin");
                yield return Path.Combine(toolkit, "bin", "x64");
            }
        }
        else
        {
            IEnumerable<string> toolkits = ((string[])["/usr/local/cuda", "/opt/cuda"]).Concat(Matches("/usr/local", "cuda-*"));
            foreach (string folder in toolkits.SelectMany(ToolkitFolders))
            {
                yield return folder;
            }

            yield return "/usr/lib/x86_64-linux-gnu";
            yield return "/usr/lib/aarch64-linux-gnu";
            yield return "/usr/lib64";
        }

        foreach (string packages in PythonPackageFolders())
        {
            // The wheels nvidia-cuda-nvrtc-cu12 (nvidia/cuda_nvrtc/lib) and nvidia-cuda-nvrtc (nvidia/cu13/lib).
            foreach (string package in Matches(Path.Combine(packages, "nvidia"), "*"))
            {
                yield return Path.Combine(package, OperatingSystem.IsWindows() ? "bin" : "lib");
            }
        }
    }

    private static IEnumerable<string> ToolkitFolders(string toolkit) => OperatingSystem.IsWindows()
        ? [Path.Combine(toolkit, "bin"), Path.Combine(toolkit, "bin", "x64")]
        : [Path.Combine(toolkit, "lib64"), Path.Combine(toolkit, "targets/x86_64-linux/lib"), Path.Combine(toolkit, "targets/sbsa-linux/lib"), Path.Combine(toolkit, "lib")];

    private static IEnumerable<string> PythonPackageFolders()
    {
        foreach (string variable in (string[])["VIRTUAL_ENV", "CONDA_PREFIX"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } root)
            {
                yield return Path.Combine(root, "Lib", "site-packages");
                foreach (string packages in PackagesUnder(Path.Combine(root, "lib")))
                {
                    yield return packages;
                }
            }
        }

        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        foreach (string lib in (string[])[Path.Combine(home, ".local", "lib"), "/usr/local/lib", "/usr/lib", "/opt/conda/lib"])
        {
            foreach (string packages in PackagesUnder(lib))
            {
                yield return packages;
            }
        }
    }

    private static IEnumerable<string> PackagesUnder(string lib) => Matches(lib, "python3*")
        .SelectMany(python => (string[])[Path.Combine(python, "site-packages"), Path.Combine(python, "dist-packages")]);

    // The newest version's folder first; a folder that is absent or cannot be read has no matches.
    private static string[] Matches(string folder, string pattern)
    {
        try
        {
            string[] found = Directory.Exists(folder) ? Directory.GetDirectories(folder, pattern) : [];
            Array.Sort(found, (left, right) => string.CompareOrdinal(right, left));
            return found;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
