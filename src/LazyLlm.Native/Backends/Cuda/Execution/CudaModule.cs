using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>Machine code loaded into a context. Its kernels work as long as it is not disposed.</summary>
internal sealed unsafe class CudaModule : CudaResource
{
    /// <summary>Loads a CUBIN (or PTX, ending in a zero).</summary>
    /// <param name="context">The context.</param>
    /// <param name="image">The compiler's output.</param>
    /// <param name="name">What it is, for errors.</param>
    /// <exception cref="CudaException">The image is damaged or for another architecture (<see cref="CuResult.InvalidImage"/>, <see cref="CuResult.NoBinaryForGpu"/>).</exception>
    public CudaModule(CudaContext context, ReadOnlySpan<byte> image, string name)
        : base(context)
    {
        Name = name;
        context.Enter();
        fixed (byte* start = image)
        {
            context.Check(CudaDriver.cuModuleLoadDataEx(out nint module, start, 0, null, null), $"loading {name}");
            Own(module);
        }
    }

    /// <summary>What it is, for errors.</summary>
    public string Name { get; }

    /// <summary>Finds a kernel.</summary>
    /// <param name="name">Its <c>extern "C"</c> name.</param>
    /// <exception cref="CudaException">There is none of this name.</exception>
    public Kernel GetKernel(string name)
    {
        Context.Enter();
        byte[] utf8 = Encoding.UTF8.GetBytes(name + '\0');
        fixed (byte* start = utf8)
        {
            Context.Check(CudaDriver.cuModuleGetFunction(out nint function, Native, start), $"finding {name} in {Name}");
            return new Kernel(this, function, name);
        }
    }

    private protected override void Free(nint native) => CudaDriver.cuModuleUnload(native);
}
