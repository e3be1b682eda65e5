using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>
/// Compiles programs to machine code for one architecture, each at most once per process and, by the disk cache, per
/// machine. Safe from every thread.
/// </summary>
public sealed class KernelCompiler
{
    private readonly IKernelToolchain _toolchain;
    private readonly ComputeCapability _capability;
    private readonly ConcurrentDictionary<KernelProgram, Lazy<CompiledKernel>> _compiled = new();
    private readonly Lazy<string?> _sourceFolder;

    internal KernelCompiler(IKernelToolchain toolchain, KernelSources sources, KernelCache cache, ComputeCapability capability)
    {
        _toolchain = toolchain;
        _capability = capability;
        Sources = sources;
        Cache = cache;
        _sourceFolder = new(() => cache.StoreSources(sources));
    }

    /// <summary>The sources.</summary>
    public KernelSources Sources { get; }

    /// <summary>The disk cache.</summary>
    public KernelCache Cache { get; }

    /// <summary>Opens NVRTC for an architecture; no GPU is needed.</summary>
    /// <param name="capability">The architecture.</param>
    /// <param name="cache">The disk cache; null to open the usual one.</param>
    /// <param name="nvrtcPath">File or folder of NVRTC; null for the usual places.</param>
    /// <param name="driverVersion">The CUDA version of the driver that will run the code (1000 x major + 10 x minor); null if none will here.</param>
    /// <exception cref="DeviceException">There is no NVRTC, it does not fit the driver, or it does not know the architecture.</exception>
    public static KernelCompiler Open(ComputeCapability capability, KernelCache? cache = null, string? nvrtcPath = null, int? driverVersion = null)
    {
        NvrtcToolchain toolchain = NvrtcToolchain.Open(driverVersion ?? int.MaxValue, nvrtcPath);
        if (!toolchain.Supports((capability.Major * 10) + capability.Minor))
        {
            throw new DeviceException($"{toolchain.Signature} ({toolchain.Path}) does not know compute capability {capability}. Install a newer NVRTC (and driver).");
        }

        return new KernelCompiler(toolchain, KernelSources.Embedded, cache ?? KernelCache.Open(), capability);
    }

    /// <summary>The compiler's name for the architecture: Hopper's own programs (<c>*_sm90.cu</c>) need <c>sm_90a</c>.</summary>
    /// <param name="program">The program.</param>
    public string Target(KernelProgram program)
    {
        ArgumentNullException.ThrowIfNull(program);
        bool hopperOnly = program.Source.EndsWith("_sm90.cu", StringComparison.Ordinal);
        return $"sm_{_capability.Major}{_capability.Minor}{(hopperOnly ? "a" : string.Empty)}";
    }

    /// <summary>Compiles a program, or takes it from memory or disk.</summary>
    /// <param name="program">The program.</param>
    /// <exception cref="KernelCompilationException">It does not compile.</exception>
    public CompiledKernel Compile(KernelProgram program)
    {
        ArgumentNullException.ThrowIfNull(program);
        var entry = _compiled.GetOrAdd(program, static (key, self) => new Lazy<CompiledKernel>(() => self.FindOrCompile(key)), this);
        try
        {
            return entry.Value;
        }
        catch
        {
            // The next caller tries again.
            _compiled.TryRemove(new(program, entry));
            throw;
        }
    }

    /// <summary>Compiles programs in parallel.</summary>
    /// <param name="programs">The programs.</param>
    /// <param name="progress">Is told each program that is ready, from any thread.</param>
    /// <param name="cancellation">Checked before each program; one that runs is finished.</param>
    /// <returns>The results, in the programs' order.</returns>
    /// <exception cref="KernelCompilationException">One does not compile.</exception>
    public IReadOnlyList<CompiledKernel> CompileAll(IReadOnlyList<KernelProgram> programs, IProgress<CompiledKernel>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(programs);
        var results = new CompiledKernel[programs.Count];
        try
        {
            Parallel.For(0, programs.Count, new ParallelOptions { CancellationToken = cancellation, MaxDegreeOfParallelism = Environment.ProcessorCount }, index =>
            {
                results[index] = Compile(programs[index]);
                progress?.Report(results[index]);
            });
        }
        catch (AggregateException e)
        {
            // The first failure stands for the rest, with its own stack.
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }

        return results;
    }

    /// <summary>Compiles a program without any cache, also the compiler's own: for measuring.</summary>
    /// <param name="program">The program.</param>
    public CompiledKernel CompileFresh(KernelProgram program) => Run(program, ptx: false, _toolchain.FreshOptions);

    /// <summary>The PTX text of a program.</summary>
    /// <param name="program">The program.</param>
    public string CompileToPtx(KernelProgram program) => Encoding.UTF8.GetString(Run(program, ptx: true, []).Image.Span).TrimEnd('\0');

    /// <summary>Forgets a program whose code the driver refused, on disk too, and compiles it again.</summary>
    /// <param name="program">The program.</param>
    internal CompiledKernel Replace(KernelProgram program)
    {
        Cache.Remove(Key(program));
        _compiled.TryRemove(program, out _);
        return Compile(program);
    }

    /// <summary>
    /// SHA-256 over the cache's format, the compiler and its version, the options in order (with the architecture), the
    /// source and all headers, each with its length.
    /// </summary>
    internal byte[] Key(KernelProgram program)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        List<string> options = Options(program);
        KernelSourceFile source = Sources[program.Source];
        Append(KernelCacheFile.Version);
        Append(_toolchain.Signature);
        hash.AppendData(BitConverter.GetBytes(options.Count));
        foreach (string option in options)
        {
            Append(option);
        }

        foreach (KernelSourceFile file in Sources.Headers.Prepend(source))
        {
            Append(file.Name);
            Append(file.Text);
        }

        return hash.GetHashAndReset();

        void Append(string text)
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            hash.AppendData(BitConverter.GetBytes(utf8.Length));
            hash.AppendData(utf8);
        }
    }

    private CompiledKernel FindOrCompile(KernelProgram program)
    {
        byte[] key = Key(program);
        if (Cache.Find(key) is { } known)
        {
            return known;
        }

        CompiledKernel kernel = Run(program, ptx: false, []);
        Cache.Store(key, kernel);
        return kernel;
    }

    private CompiledKernel Run(KernelProgram program, bool ptx, IReadOnlyList<string> extra)
    {
        ArgumentNullException.ThrowIfNull(program);
        KernelSourceFile source = Sources[program.Source];
        string path = _sourceFolder.Value is { } folder ? Path.Combine(folder, source.Name) : source.Name;
        (byte[] image, string log) = _toolchain.Compile(program.Name, path, source.Text, Sources.Headers, [.. Options(program), .. extra], ptx);
        return new CompiledKernel(program.Name, Target(program), image, log);
    }

    // -lineinfo changes no code and lets profilers show the source; ptxas -v puts registers and spills into the log.
    private List<string> Options(KernelProgram program) =>
    [
        $"--gpu-architecture={Target(program)}",
        "-lineinfo",
        "-std=c++17",
        "-default-device",
        "--ptxas-options=-v",
        .. program.Defines.Select(define => "-D" + define),
    ];
}
