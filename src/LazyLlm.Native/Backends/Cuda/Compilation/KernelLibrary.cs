using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>The kernels of one context: compiled, loaded, ready to launch. Safe from every thread.</summary>
internal sealed class KernelLibrary : IDisposable
{
    private readonly CudaContext _context;
    private readonly KernelCompiler _compiler;
    private readonly Lock _gate = new();
    private readonly Dictionary<KernelProgram, CudaModule> _modules = [];

    /// <summary>Makes an empty library.</summary>
    /// <param name="context">The context.</param>
    /// <param name="compiler">A compiler for its device's architecture.</param>
    public KernelLibrary(CudaContext context, KernelCompiler compiler)
    {
        _context = context;
        _compiler = compiler;
    }

    /// <summary>Compiles programs in parallel and loads them, so that <see cref="Get"/> does not wait later.</summary>
    /// <param name="programs">The programs.</param>
    /// <param name="progress">Is told each program that is compiled.</param>
    /// <param name="cancellation">Checked before each program.</param>
    public void Prepare(IReadOnlyList<KernelProgram> programs, IProgress<CompiledKernel>? progress = null, CancellationToken cancellation = default)
    {
        _compiler.CompileAll(programs, progress, cancellation);
        foreach (KernelProgram program in programs)
        {
            Module(program);
        }

        if (_compiler.Cache.Problem is string problem)
        {
            _context.Notes.Add(problem);
        }
    }

    /// <summary>Finds a kernel, compiling and loading its program where that has not been done.</summary>
    /// <param name="program">The program.</param>
    /// <param name="kernel">The kernel's <c>extern "C"</c> name.</param>
    public Kernel Get(KernelProgram program, string kernel) => Module(program).GetKernel(kernel);

    /// <summary>Unloads everything.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            foreach (CudaModule module in _modules.Values)
            {
                module.Dispose();
            }

            _modules.Clear();
        }
    }

    private CudaModule Module(KernelProgram program)
    {
        lock (_gate)
        {
            if (!_modules.TryGetValue(program, out CudaModule? module))
            {
                module = Load(program);
                _modules.Add(program, module);
            }

            return module;
        }
    }

    private CudaModule Load(KernelProgram program)
    {
        CompiledKernel compiled = _compiler.Compile(program);
        try
        {
            return new CudaModule(_context, compiled.Image.Span, program.Name);
        }
        catch (CudaException e) when (compiled.FromCache && (CuResult)e.Code is CuResult.InvalidImage or CuResult.NoBinaryForGpu)
        {
            // An entry of another compiler of the same version, or damage from before it was stored.
            return new CudaModule(_context, _compiler.Replace(program).Image.Span, program.Name);
        }
    }
}
