using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// The operations of the layer loop on a GPU. Work is enqueued in one stream and not waited for, except where a count or
/// a result is asked for; several callers take turns in it. A short step of one sequence is recorded stage by stage and
/// replayed as a graph (<see cref="BeginStage"/>).
/// </summary>
internal sealed partial class CudaOperations : IOperations
{
    private readonly KernelLibrary _library;
    private readonly CudaWeights _weights;
    private readonly EmbedKernel _embed;
    private readonly RowsKernels _rows;
    private readonly RmsNormKernel _rmsNorm;
    private readonly LinearKernels _linear;
    private readonly SampleKernel _sample;
    private readonly SlotsKernel _slots;
    private readonly SelectKernels _select;
    private readonly RopeCacheKernel _rope;
    private readonly AttentionKernels _attention;
    private readonly ImportanceKernels _importance;

    private CudaOperations(CudaContext context, CudaStream stream, KernelLibrary library, DeviceShape shape, CudaWeights weights)
    {
        Context = context;
        Stream = stream;
        Shape = shape;
        _library = library;
        _weights = weights;
        _embed = new EmbedKernel(library, shape);
        _rows = new RowsKernels(library, shape);
        _rmsNorm = new RmsNormKernel(library, shape);
        _linear = new LinearKernels(library, shape, context.Device);
        _sample = new SampleKernel(library);
        _slots = new SlotsKernel(library);
        _select = new SelectKernels(library);
        _rope = new RopeCacheKernel(library, shape);
        _attention = new AttentionKernels(library, shape, context.Device);
        _importance = new ImportanceKernels(library, shape, context.Device);
    }

    /// <summary>The device's context.</summary>
    public CudaContext Context { get; }

    /// <summary>Where everything is enqueued, in the order of the calls.</summary>
    public CudaStream Stream { get; }

    /// <summary>The model's widths and number format.</summary>
    public DeviceShape Shape { get; }

    /// <inheritdoc/>
    public string DeviceName => Context.Device.Name;

    /// <inheritdoc/>
    public long WeightBytes => _weights.ByteLength;

    /// <inheritdoc/>
    public long FreeBytes => Context.Memory.FreeBytes();

    /// <inheritdoc/>
    public long CacheGranularity => GrowableDeviceBuffer.Granularity(Context);

    /// <inheritdoc/>
    public DeviceLostException? Fault => Context.Health.Cause;

    /// <summary>Brings a model onto a GPU: checks it, plans memory, compiles kernels, uploads weights.</summary>
    /// <exception cref="DeviceException">The device or its compiler refuses, or the model needs what the kernels do not support.</exception>
    /// <exception cref="DeviceMemoryException">The model does not fit; the message says what would.</exception>
    public static CudaOperations Load(ModelWeights source, CudaOptions options, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        TensorType storage = options.Storage ?? StorageOf(source.Config);
        var shape = new DeviceShape(source.Config, storage);
        CudaSupport.Check(source.Config);
        CudaContext? context = null;
        CudaStream? stream = null;
        KernelLibrary? library = null;
        CudaWeights? weights = null;
        try
        {
            CudaDevice device = CudaDevice.Open(options.Ordinal, options.DriverPath);
            context = CudaContext.Open(device);
            MemoryPlan.For(shape, options.ContextLength).Check(context.Memory.FreeBytes(), device.Name);
            KernelCompiler compiler = options.Compiler ?? KernelCompiler.Open(device.ComputeCapability, nvrtcPath: options.NvrtcPath, driverVersion: CudaDevice.CheckDriverVersion());
            library = new KernelLibrary(context, compiler);
            stream = new CudaStream(context);
            context.WorkStream = stream;
            weights = LoadWithKernels(library, shape, device.ComputeCapability, stopped => CudaWeights.Load(source, shape, options.ContextLength, stream, progress, stopped), cancellation);
            return new CudaOperations(context, stream, library, shape, weights);
        }
        catch
        {
            weights?.Dispose();
            stream?.Dispose();
            library?.Dispose();
            context?.Dispose();
            throw;
        }
    }

    /// <summary>Compiles and loads the kernels while the weights are on their way; neither goes on where the other fails.</summary>
    private static CudaWeights LoadWithKernels(KernelLibrary library, DeviceShape shape, ComputeCapability capability, Func<CancellationToken, CudaWeights> load, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task preparing = Task.Run(
            () =>
            {
                try
                {
                    library.Prepare(Programs(shape, capability), cancellation: stop.Token);
                }
                catch
                {
                    stop.Cancel();
                    throw;
                }
            },
            CancellationToken.None);
        CudaWeights? weights = null;
        try
        {
            weights = load(stop.Token);
            preparing.GetAwaiter().GetResult();
            return weights;
        }
        catch (Exception e)
        {
            stop.Cancel();
            preparing.ContinueWith(static task => _ = task.Exception, TaskScheduler.Default).Wait(CancellationToken.None);
            weights?.Dispose();
            if (e is OperationCanceledException && !cancellation.IsCancellationRequested)
            {
                // The kernels failed first; what they say is the reason.
                preparing.GetAwaiter().GetResult();
            }

            throw;
        }
    }

    /// <summary>The format that a model is stored in unless another is asked for: its own, if that has 16 bits.</summary>
    public static TensorType StorageOf(ModelConfig config) => config.DeclaredType == TensorType.Float16 ? TensorType.Float16 : TensorType.BFloat16;

    /// <summary>The programs that a model needs on a GPU.</summary>
    public static IReadOnlyList<KernelProgram> Programs(DeviceShape shape, ComputeCapability capability) =>
    [
        .. LinearKernels.Programs(shape, capability),
        RmsNormKernel.Program(shape),
        EmbedKernel.Program(shape),
        RowsKernels.Program,
        SampleKernel.Program,
        SlotsKernel.Program,
        .. SelectKernels.Programs,
        RopeCacheKernel.Program(shape),
        .. AttentionKernels.Programs(shape, capability),
        ImportanceKernels.Program(shape),
    ];

    /// <inheritdoc/>
    public bool Profile(bool collect)
    {
        Context.Synchronize();
        if (collect)
        {
            Context.StartProfiler();
        }
        else
        {
            Context.StopProfiler();
        }

        return true;
    }

    /// <inheritdoc/>
    public ISequenceMemory CreateSequence(StagePlan plan, int capacity) => new CudaSequence(this, plan, capacity);

    /// <inheritdoc/>
    public IWorkspace CreateWorkspace() => new CudaWorkspace(this);

    /// <summary>Gives the stage's slots from <paramref name="slotCount"/> on back.</summary>
    public void ForgetSlots(ulong slotOf, int positions, int slotCount) => _slots.LaunchForget(Stream, slotOf, positions, slotCount);

    /// <summary>Gives the weights, the kernels and the context back.</summary>
    public void Dispose()
    {
        _weights.Dispose();
        Stream.Dispose();
        _library.Dispose();
        Context.Dispose();
    }
}
