using System.Diagnostics.CodeAnalysis;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>
/// A kernel of a loaded module. By convention every kernel takes one structure by value,
/// <c>extern "C" __global__ void lazyllm_x(const __grid_constant__ XArgs args)</c>, which a C# structure of the same
/// name mirrors field by field (<c>LayoutKind.Sequential</c>), so that a launch passes one pointer and boxes nothing.
/// </summary>
internal sealed unsafe class Kernel
{
    /// <summary>Bytes of parameters that every architecture takes.</summary>
    public const int MaxArgumentBytes = 4096;

    // Up to this much a block may have without opting in.
    private const uint DefaultDynamicSharedBytes = 48 * 1024;

    private readonly CudaModule _module;
    private readonly nint _function;
    private uint _dynamicSharedLimit;

    internal Kernel(CudaModule module, nint function, string name)
    {
        _module = module;
        _function = function;
        Name = name;
        Resources = new KernelResources(
            Read(CuFunctionAttribute.RegisterCount),
            Read(CuFunctionAttribute.SharedSizeBytes),
            Read(CuFunctionAttribute.LocalSizeBytes),
            Read(CuFunctionAttribute.MaxThreadsPerBlock));
        _dynamicSharedLimit = DefaultDynamicSharedBytes - (uint)Math.Min(Resources.StaticSharedBytes, (int)DefaultDynamicSharedBytes);
    }

    /// <summary>Its <c>extern "C"</c> name.</summary>
    public string Name { get; }

    /// <summary>What it uses per thread and block.</summary>
    public KernelResources Resources { get; }

    /// <summary>Bytes of dynamic shared memory that a block may have on this device, opted in.</summary>
    public int MaxDynamicSharedBytes => _module.Context.Device.SharedMemoryPerBlock - Resources.StaticSharedBytes;

    /// <summary>Blocks that fit on one multiprocessor at a time.</summary>
    /// <param name="threads">Threads per block.</param>
    /// <param name="sharedBytes">Bytes of dynamic shared memory per block.</param>
    public int BlocksPerMultiprocessor(int threads, int sharedBytes)
    {
        CudaContext context = _module.Context;
        context.Enter();
        AllowShared((uint)sharedBytes);
        context.Check(CudaDriver.cuOccupancyMaxActiveBlocksPerMultiprocessor(out int blocks, _function, threads, (nuint)sharedBytes), Name);
        return blocks;
    }

    /// <summary>Enqueues the kernel. Takes no memory and does not wait (unless <see cref="CudaContext.LaunchesSynchronously"/>).</summary>
    /// <typeparam name="TArgs">The kernel's parameter structure, at most <see cref="MaxArgumentBytes"/> bytes.</typeparam>
    /// <param name="stream">Where to enqueue it.</param>
    /// <param name="config">Its shape; an empty grid launches nothing.</param>
    /// <param name="args">Its parameters, copied before this returns.</param>
    /// <exception cref="ArgumentOutOfRangeException">The grid, the block or the parameters exceed what the hardware takes.</exception>
    /// <exception cref="CudaException">The launch was refused, or an earlier kernel failed.</exception>
    public void Launch<TArgs>(CudaStream stream, in LaunchConfig config, in TArgs args)
        where TArgs : unmanaged
    {
        if (sizeof(TArgs) > MaxArgumentBytes)
        {
            ThrowTooLarge(typeof(TArgs).Name, sizeof(TArgs));
        }

        if (config.GridX > int.MaxValue || config.GridY > LaunchConfig.MaxGridYZ || config.GridZ > LaunchConfig.MaxGridYZ)
        {
            ThrowGrid(config);
        }

        if (config.Threads - 1 >= (uint)Resources.MaxThreadsPerBlock)
        {
            ThrowBlock(config);
        }

        if (config.IsEmpty)
        {
            return;
        }

        CudaContext context = _module.Context;
        context.Enter();
        if (config.SharedBytes > _dynamicSharedLimit)
        {
            AllowShared(config.SharedBytes);
        }

        CuLaunchAttribute* attributes = stackalloc CuLaunchAttribute[2];
        uint count = 0;
        if (config.ClusterX > 1)
        {
            attributes[count++] = new CuLaunchAttribute { Id = CuLaunchAttribute.ClusterDimension, X = config.ClusterX, Y = 1, Z = 1 };
        }

        if (config.DependentLaunch && context.Device.ComputeCapability.HasDependentLaunch)
        {
            attributes[count++] = new CuLaunchAttribute { Id = CuLaunchAttribute.ProgrammaticStreamSerialization, X = 1 };
        }

        var native = new CuLaunchConfig
        {
            GridX = config.GridX,
            GridY = config.GridY,
            GridZ = config.GridZ,
            BlockX = config.BlockX,
            BlockY = config.BlockY,
            BlockZ = config.BlockZ,
            SharedBytes = config.SharedBytes,
            Stream = stream.Native,
            Attributes = attributes,
            AttributeCount = count,
        };
        fixed (TArgs* start = &args)
        {
            void* parameter = start;
            CuResult result = CudaDriver.cuLaunchKernelEx(&native, _function, &parameter, null);
            if (result != CuResult.Success)
            {
                ThrowLaunch(result, config);
            }
        }

        if (context.LaunchesSynchronously && !stream.IsCapturing)
        {
            CuResult result = CudaDriver.cuStreamSynchronize(native.Stream);
            if (result != CuResult.Success)
            {
                ThrowLaunch(result, config);
            }
        }
    }

    private void AllowShared(uint bytes)
    {
        if (bytes <= _dynamicSharedLimit)
        {
            return;
        }

        int limit = MaxDynamicSharedBytes;
        if (bytes > limit)
        {
            throw new ArgumentOutOfRangeException(nameof(bytes), $"{Name} asks for {bytes:N0} bytes of dynamic shared memory, but a block on {_module.Context.Device.Name} may have {limit:N0}.");
        }

        _module.Context.Check(CudaDriver.cuFuncSetAttribute(_function, CuFunctionAttribute.MaxDynamicSharedSizeBytes, limit), Name);
        _dynamicSharedLimit = (uint)limit;
    }

    private int Read(CuFunctionAttribute attribute)
    {
        _module.Context.Check(CudaDriver.cuFuncGetAttribute(out int value, attribute, _function), Name);
        return value;
    }

    [DoesNotReturn]
    private void ThrowLaunch(CuResult result, in LaunchConfig config)
    {
        string operation = OperationScope.Describe();
        string shape = $"{Name} <<<({config.GridX}, {config.GridY}, {config.GridZ}), ({config.BlockX}, {config.BlockY}, {config.BlockZ}), {config.SharedBytes} B>>>";
        CudaError.Throw(result, _module.Context, $"{operation}: {shape}", nameof(CudaDriver.cuLaunchKernelEx));
    }

    [DoesNotReturn]
    private void ThrowTooLarge(string type, int bytes) =>
        throw new ArgumentOutOfRangeException(nameof(type), $"{Name}: {type} has {bytes} bytes, but a kernel takes {MaxArgumentBytes}.");

    [DoesNotReturn]
    private void ThrowGrid(in LaunchConfig config) =>
        throw new ArgumentOutOfRangeException(nameof(config), $"{Name}: a grid of ({config.GridX}, {config.GridY}, {config.GridZ}) blocks exceeds ({int.MaxValue}, {LaunchConfig.MaxGridYZ}, {LaunchConfig.MaxGridYZ}).");

    [DoesNotReturn]
    private void ThrowBlock(in LaunchConfig config) =>
        throw new ArgumentOutOfRangeException(nameof(config), $"{Name}: a block of {config.Threads} threads is outside 1 to {Resources.MaxThreadsPerBlock}.");
}
