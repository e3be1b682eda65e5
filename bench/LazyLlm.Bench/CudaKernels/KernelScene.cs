using System.Runtime.InteropServices;
using LazyLlm.Evaluation;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// The device that kernels are timed on, and how: by events, each run alone after the level-2 cache was overwritten, the
/// median of many. A kernel that fails becomes a row that says why, and the rest goes on.
/// </summary>
internal sealed class KernelScene : IDisposable
{
    private const int WarmUps = 3;

    private readonly List<KernelRow> _rows = [];
    private readonly DeviceBuffer _flushed;
    private readonly CudaEvent _start;
    private readonly CudaEvent _end;
    private readonly double? _tensorRate;
    private double _copyRate;

    public KernelScene(ModelConfig config, KernelSizes sizes)
    {
        Sizes = sizes;
        Shape = new DeviceShape(config, TensorType.BFloat16);
        CudaDevice device = CudaDevice.Open();
        Context = CudaContext.Open(device);
        Stream = new CudaStream(Context);
        Library = new KernelLibrary(Context, KernelCompiler.Open(device.ComputeCapability, driverVersion: CudaDevice.CheckDriverVersion()));
        Library.Prepare(CudaOperations.Programs(Shape, device.ComputeCapability));

        // Four times the cache: what a replacement that is not least-recently-used leaves of the old lines is little.
        _flushed = new DeviceBuffer(Context, 4L * device.L2CacheBytes, "what the cache is overwritten with");
        _start = new CudaEvent(Context, timing: true);
        _end = new CudaEvent(Context, timing: true);
        _tensorRate = TensorRate(device);
    }

    /// <summary>What is measured.</summary>
    public KernelSizes Sizes { get; }

    /// <summary>The model's widths.</summary>
    public DeviceShape Shape { get; }

    /// <summary>The device's context.</summary>
    public CudaContext Context { get; }

    /// <summary>Where kernels are launched.</summary>
    public CudaStream Stream { get; }

    /// <summary>The compiled kernels.</summary>
    public KernelLibrary Library { get; }

    /// <summary>Told each row once it has been measured.</summary>
    public Action<KernelRow>? Measured { get; init; }

    /// <summary>Everything measured so far.</summary>
    public IReadOnlyList<KernelRow> Rows => _rows;

    /// <summary>The tensor cores' dense 16-bit operations per second, as the maker names them.</summary>
    public double? TensorOperations => _tensorRate;

    /// <summary>Bytes read and written per second by the large copy: set by the first row of <see cref="CopyKernels"/>.</summary>
    public double CopyRate
    {
        get => _copyRate;
        set => _copyRate = value;
    }

    /// <summary>Runs one group; what fails before its first kernel becomes a row too.</summary>
    /// <returns>False if the device is lost, and nothing more can be measured.</returns>
    public bool Run(string group, Action<KernelScene> measure)
    {
        try
        {
            measure(this);
            return true;
        }
        catch (DeviceLostException e)
        {
            Add(Failed(new KernelRow { Group = group, Kernel = group, Sizes = new Dictionary<string, int>() }, e));
            return false;
        }
        catch (Exception e) when (e is LazyLlmException or ArgumentException or InvalidOperationException)
        {
            Add(Failed(new KernelRow { Group = group, Kernel = group, Sizes = new Dictionary<string, int>() }, e));
            return true;
        }
    }

    /// <summary>Sets up and measures one row.</summary>
    /// <param name="row">What it is, without its time.</param>
    /// <param name="set">Makes the buffers, which the scene frees, and returns the launch.</param>
    /// <returns>Seconds, or null if it failed.</returns>
    /// <exception cref="DeviceLostException">Nothing more can be measured.</exception>
    public double? Measure(KernelRow row, Func<Buffers, KernelRun> set)
    {
        using var buffers = new Buffers(this);
        try
        {
            double seconds = Time(set(buffers));
            double floor = Math.Max(_copyRate > 0 ? row.Bytes / _copyRate : 0, _tensorRate is double rate ? row.Operations / rate : 0);
            Add(row with { Us = seconds * 1e6, FloorUs = floor > 0 ? floor * 1e6 : null });
            return seconds;
        }
        catch (DeviceLostException)
        {
            throw;
        }
        catch (Exception e) when (e is LazyLlmException or ArgumentException or InvalidOperationException)
        {
            Add(Failed(row, e));
            return null;
        }
    }

    /// <summary>Adds a row that was measured otherwise.</summary>
    public void Add(KernelRow row)
    {
        _rows.Add(row);
        Measured?.Invoke(row);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _start.Dispose();
        _end.Dispose();
        _flushed.Dispose();
        Library.Dispose();
        Stream.Dispose();
        Context.Dispose();
    }

    /// <summary>Seconds of one run, the median.</summary>
    public double Time(KernelRun run)
    {
        double[] seconds = new double[Sizes.Repetitions];
        for (int i = -WarmUps; i < seconds.Length; i++)
        {
            run.Prepare?.Invoke();

            // While the device is busy with this, the host enqueues the rest: so the events stand close around the kernel.
            Stream.Fill(_flushed.Pointer, (byte)i, _flushed.Bytes);
            _start.Record(Stream);
            run.Launch();
            _end.Record(Stream);
            _end.Synchronize();
            if (i >= 0)
            {
                seconds[i] = _end.Since(_start).TotalSeconds / run.Launches;
            }
        }

        return Median.Of(seconds);
    }

    private static KernelRow Failed(KernelRow row, Exception e) => row with { Error = e.Message.ReplaceLineEndings(" ") };

    /// <summary>Dense 16-bit rate with float32 sums, from the maker's figures for the whole GPU: A100 312, H100 SXM and H200 989 TFLOP/s.</summary>
    private static double? TensorRate(CudaDevice device) => (device.ComputeCapability.Major, device.ComputeCapability.Minor) switch
    {
        (8, 0) => device.MultiprocessorCount * (312e12 / 108),
        (9, 0) => device.MultiprocessorCount * (989.4e12 / 132),
        _ => null,
    };

    /// <summary>The device memory of one row, freed with it.</summary>
    internal sealed class Buffers(KernelScene scene) : IDisposable
    {
        private readonly List<DeviceBuffer> _all = [];

        /// <summary>Memory with random numbers around 0 that are both bfloat16 and float32.</summary>
        public DeviceBuffer Random(long bytes)
        {
            var random = new Random(1);
            ushort[] piece = new ushort[Math.Min(1 << 20, (bytes + 1) / 2)];
            for (int i = 0; i < piece.Length; i++)
            {
                piece[i] = TensorConversion.ToBFloat16((random.NextSingle() * 2) - 1);
            }

            DeviceBuffer buffer = Empty(bytes);
            ReadOnlySpan<byte> source = MemoryMarshal.AsBytes(piece.AsSpan());
            long done = Math.Min(source.Length, bytes);
            scene.Stream.UploadNow(buffer.Pointer, source[..(int)done]);
            for (; done < bytes; done *= 2)
            {
                scene.Stream.Copy(buffer.At(done), buffer.Pointer, Math.Min(done, bytes - done));
            }

            return buffer;
        }

        /// <summary>Memory whose content does not matter.</summary>
        public DeviceBuffer Empty(long bytes)
        {
            var buffer = new DeviceBuffer(scene.Context, bytes, "a benchmark's rows");
            _all.Add(buffer);
            return buffer;
        }

        /// <summary>Whole numbers.</summary>
        public DeviceBuffer Integers(int[] numbers)
        {
            DeviceBuffer buffer = Empty(numbers.Length * (long)sizeof(int));
            scene.Stream.UploadNow<int>(buffer.Pointer, numbers);
            return buffer;
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            foreach (DeviceBuffer buffer in _all)
            {
                buffer.Dispose();
            }
        }
    }
}
