using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>
/// What a kernel test works with: a stream, kernels of one storage format, random numbers, and arrays on the device.
/// Outputs are filled with NaN first and have a margin behind them, so that what is not written, or written too far,
/// shows.
/// </summary>
internal sealed class KernelBench : IDisposable
{
    private const int Margin = 64;

    private readonly List<IDisposable> _owned = [];
    private readonly Random _random;

    public KernelBench(TensorType storage, int seed = 1)
    {
        Context = CudaTestDevice.Open();
        Storage = storage;
        Stream = new CudaStream(Context);
        Library = CudaTestDevice.SharedLibrary ?? new KernelLibrary(Context, CudaTestDevice.Compiler);
        _random = new Random(seed);
        _owned.Add(Stream);
        if (Library != CudaTestDevice.SharedLibrary)
        {
            _owned.Add(Library);
        }
    }

    /// <summary>The formats that kernels are compiled for.</summary>
    public static TheoryData<TensorType> Formats => new(TensorType.BFloat16, TensorType.Float16, TensorType.Float32);

    public CudaContext Context { get; }

    public TensorType Storage { get; }

    public CudaStream Stream { get; }

    public KernelLibrary Library { get; }

    /// <summary>Half a unit in the last place of 1 in the storage format.</summary>
    public double Rounding => Storage switch { TensorType.BFloat16 => 1.0 / 256, TensorType.Float16 => 1.0 / 2048, _ => 1.0 / (1 << 24) };

    public static ModelConfig Config(int hidden, int intermediate = 16, int heads = 2, int keyValueHeads = 2, int headSize = 8) => new()
    {
        HiddenSize = hidden,
        IntermediateSize = intermediate,
        LayerCount = 1,
        HeadCount = heads,
        KeyValueHeadCount = keyValueHeads,
        HeadSize = headSize,
        VocabularySize = 32,
        ContextLength = 64,
        NormEpsilon = 1e-5,
        RopeTheta = 10000,
        TiedEmbeddings = false,
        DeclaredType = TensorType.BFloat16,
    };

    public DeviceShape Shape(int hidden) => new(Config(hidden), Storage);

    /// <summary>Random numbers within (-scale, scale) that the storage format holds exactly.</summary>
    public float[] Numbers(long count, float scale = 1)
    {
        float[] numbers = new float[count];
        for (int i = 0; i < numbers.Length; i++)
        {
            numbers[i] = ((_random.NextSingle() * 2) - 1) * scale;
        }

        return Rounded(numbers);
    }

    /// <summary>Different random positions below <paramref name="limit"/>, ascending.</summary>
    public int[] Positions(int count, int limit)
    {
        int[] all = [.. Enumerable.Range(0, limit)];
        _random.Shuffle(all);
        return [.. all[..count].Order()];
    }

    /// <summary>Numbers as the storage format holds them.</summary>
    public float[] Rounded(float[] numbers) => FromBytes(ToBytes(numbers));

    /// <summary>Numbers on the device in the storage format.</summary>
    public ulong Stored(float[] numbers) => Upload<byte>(ToBytes(numbers));

    /// <summary>Rows of a product's input in the storage format, and behind them those that it may read, all NaN.</summary>
    public ulong StoredInput(float[] numbers, int columns)
    {
        ulong address = StoredFloats(numbers.Length + ((long)LinearKernels.SpareRows * columns));
        Stream.UploadNow<byte>(address, ToBytes(numbers));
        return address;
    }

    /// <summary>Numbers on the device as they are.</summary>
    public ulong Upload<T>(ReadOnlySpan<T> numbers)
        where T : unmanaged
    {
        ulong address = Poisoned(Math.Max(1, numbers.Length) * Marshal.SizeOf<T>());
        if (!numbers.IsEmpty)
        {
            Stream.UploadNow(address, numbers);
        }

        return address;
    }

    /// <summary>Numbers on the device as they are.</summary>
    public ulong Upload<T>(T[] numbers)
        where T : unmanaged => Upload<T>(numbers.AsSpan());

    /// <summary>Room for <paramref name="count"/> float32 results, all NaN.</summary>
    public ulong Floats(long count) => Poisoned(count * sizeof(float));

    /// <summary>Room for <paramref name="count"/> results in the storage format, all NaN.</summary>
    public ulong StoredFloats(long count) => Poisoned(count * TensorConversion.SizeOf(Storage));

    /// <summary>Reads float32 results, and checks that the margin behind them is untouched.</summary>
    public float[] Read(ulong address, int count) => MemoryMarshal.Cast<byte, float>(ReadBytes(address, count * sizeof(float))).ToArray();

    /// <summary>Reads integers, and checks that the margin behind them is untouched.</summary>
    public int[] ReadIntegers(ulong address, int count) => MemoryMarshal.Cast<byte, int>(ReadBytes(address, count * sizeof(int))).ToArray();

    /// <summary>Reads results in the storage format, and checks that the margin behind them is untouched.</summary>
    public float[] ReadStored(ulong address, int count) => FromBytes(ReadBytes(address, count * TensorConversion.SizeOf(Storage)));

    public void Dispose()
    {
        foreach (IDisposable owned in _owned)
        {
            owned.Dispose();
        }

        Context.Dispose();
    }

    /// <summary>Compares number by number: |actual - expected| within absolute + relative · |expected|.</summary>
    public static void AssertClose(double[] expected, float[] actual, double relative, double absolute)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (!(Math.Abs(actual[i] - expected[i]) <= absolute + (relative * Math.Abs(expected[i]))))
            {
                Assert.Fail($"Number {i} of {expected.Length} is {actual[i]:R}, expected {expected[i]:R}.");
            }
        }
    }

    private ulong Poisoned(long bytes)
    {
        var buffer = new DeviceBuffer(Context, bytes + Margin, "a test");
        _owned.Add(buffer);
        Stream.Fill(buffer.Pointer, 0xFF, buffer.Bytes);
        return buffer.Pointer;
    }

    private byte[] ReadBytes(ulong address, int bytes)
    {
        byte[] all = new byte[bytes + Margin];
        Stream.DownloadNow(all.AsSpan(), address);
        Assert.True(all.AsSpan(bytes).IndexOfAnyExcept((byte)0xFF) < 0, "The kernel wrote beyond its output.");
        return all[..bytes];
    }

    private byte[] ToBytes(float[] numbers)
    {
        byte[] bytes = new byte[numbers.Length * TensorConversion.SizeOf(Storage)];
        TensorConversion.Convert(MemoryMarshal.AsBytes(numbers.AsSpan()), TensorType.Float32, bytes, Storage);
        return bytes;
    }

    private float[] FromBytes(byte[] bytes)
    {
        float[] numbers = new float[bytes.Length / TensorConversion.SizeOf(Storage)];
        TensorConversion.Convert(bytes, Storage, MemoryMarshal.AsBytes(numbers.AsSpan()), TensorType.Float32);
        return numbers;
    }
}
