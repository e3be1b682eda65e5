using System.Globalization;
using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench;

/// <summary>
/// Times the CUDA kernels one by one with events, on the shapes of Llama 2 7B and random numbers in bfloat16. Weights
/// rotate among copies that together exceed the caches, as a pass over the layers does.
/// </summary>
internal static class CudaKernelBenchmark
{
    private const int Repetitions = 20;
    private const long RotatedBytes = 512L << 20;

    /// <summary>Prints a table: kernel, shape, median time, bytes and operations per second. Arguments: row counts.</summary>
    public static int Run(string[] args)
    {
        int[] rowCounts = args.Length == 0 ? [1, 2, 4, 8, 16, 64, 256, 1024, 4096] : [.. args.Select(a => int.Parse(a, CultureInfo.InvariantCulture))];
        CudaDevice device = CudaDevice.Open();
        using CudaContext context = CudaContext.Open(device);
        using var stream = new CudaStream(context);
        using var library = new KernelLibrary(context, KernelCompiler.Open(device.ComputeCapability, driverVersion: CudaDevice.CheckDriverVersion()));
        var shape = new DeviceShape(ModelShapes.Llama2, TensorType.BFloat16);
        Console.WriteLine($"{device.Name}, compute capability {device.ComputeCapability}, {device.MultiprocessorCount} multiprocessors");
        Console.WriteLine($"{"kernel",-28}{"rows",6}{"n",7}{"k",7}{"us",10}{"GB/s",9}{"TFLOP/s",9}");
        Copy(context, stream);
        Products(context, stream, library, shape, rowCounts);
        Norms(context, stream, library, shape, rowCounts);
        return 0;
    }

    private static void Copy(CudaContext context, CudaStream stream)
    {
        const long bytes = 1L << 30;
        using DeviceBuffer from = Random(context, stream, bytes);
        using DeviceBuffer to = new(context, bytes, "a copy");
        double seconds = Median(context, stream, _ => stream.Copy(to.Pointer, from.Pointer, bytes));
        Print("copy (ceiling)", 0, 0, 0, seconds, 2.0 * bytes, 0);
    }

    private static void Products(CudaContext context, CudaStream stream, KernelLibrary library, DeviceShape shape, int[] rowCounts)
    {
        var kernels = new LinearKernels(library, shape, context.Device);
        (string Name, int N, int K, LinearEpilogue Epilogue)[] products =
        [
            ("linear_qkv", shape.QueryKeyValueWidth, shape.Hidden, LinearEpilogue.Store),
            ("linear_attention_output", shape.Hidden, shape.QueryWidth, LinearEpilogue.AddResidual),
            ("linear_gate_up", 2 * shape.Intermediate, shape.Hidden, LinearEpilogue.SwiGlu),
            ("linear_down", shape.Hidden, shape.Intermediate, LinearEpilogue.AddResidual),
        ];
        int mostRows = rowCounts.Max();
        foreach ((string name, int n, int k, LinearEpilogue epilogue) in products)
        {
            long weightBytes = 2L * n * k;
            int copies = (int)Math.Max(1, RotatedBytes / weightBytes);
            using DeviceBuffer weights = Random(context, stream, copies * weightBytes);
            using DeviceBuffer input = Random(context, stream, 2L * mostRows * k);
            using DeviceBuffer output = Random(context, stream, 4L * mostRows * n);
            foreach (int rows in rowCounts)
            {
                double seconds = Median(context, stream, i => kernels.Launch(stream, new LinearArgs
                {
                    Input = input.Pointer,
                    Weights = weights.At(i % copies * weightBytes),
                    Output = output.Pointer,
                    Count = RowCount.Of(rows),
                    N = n,
                    K = k,
                    OutputStride = epilogue == LinearEpilogue.SwiGlu ? n / 2 : n,
                    Epilogue = epilogue,
                }));
                Print(name, rows, n, k, seconds, weightBytes + (2.0 * rows * (n + k)), 2.0 * rows * n * k);
            }
        }
    }

    private static void Norms(CudaContext context, CudaStream stream, KernelLibrary library, DeviceShape shape, int[] rowCounts)
    {
        var norm = new RmsNormKernel(library, shape);
        var rowsKernels = new RowsKernels(library, shape);
        int most = rowCounts.Max();
        using DeviceBuffer aux = Random(context, stream, 4L * 2 * most * shape.Hidden);
        using DeviceBuffer residual = Random(context, stream, 4L * most * shape.Hidden);
        using DeviceBuffer normed = Random(context, stream, 2L * most * shape.Hidden);
        using DeviceBuffer gains = Random(context, stream, 4L * shape.Hidden);
        using DeviceBuffer positions = new(context, 4L * most, "positions");
        stream.UploadNow<int>(positions.Pointer, [.. Enumerable.Range(0, most).Select(i => 2 * i)]);
        foreach (int rows in rowCounts)
        {
            double bytes = (double)rows * shape.Hidden;
            RowCount count = RowCount.Of(rows);
            Print("rms_norm", rows, 0, shape.Hidden, Median(context, stream, _ => norm.Launch(stream, residual.Pointer, gains.Pointer, normed.Pointer, count)), 6 * bytes, 0);
            Print("rms_norm gathering", rows, 0, shape.Hidden, Median(context, stream, _ => norm.LaunchGathering(stream, aux.Pointer, positions.Pointer, residual.Pointer, gains.Pointer, normed.Pointer, count)), 10 * bytes, 0);
            Print("scatter_rows", rows, 0, shape.Hidden, Median(context, stream, _ => rowsKernels.Scatter(stream, aux.Pointer, residual.Pointer, positions.Pointer, count)), 8 * bytes, 0);
        }
    }

    /// <summary>Median over repetitions of ten launches each, so that the events' own cost does not count.</summary>
    private static double Median(CudaContext context, CudaStream stream, Action<int> launch)
    {
        const int launches = 10;
        using var start = new CudaEvent(context, timing: true);
        using var end = new CudaEvent(context, timing: true);
        double[] seconds = new double[Repetitions];
        for (int i = -2; i < Repetitions; i++)
        {
            start.Record(stream);
            for (int j = 0; j < launches; j++)
            {
                launch(((i + 2) * launches) + j);
            }

            end.Record(stream);
            end.Synchronize();
            if (i >= 0)
            {
                seconds[i] = end.Since(start).TotalSeconds / launches;
            }
        }

        Array.Sort(seconds);
        return seconds[Repetitions / 2];
    }

    private static void Print(string name, int rows, int n, int k, double seconds, double bytes, double operations) =>
        Console.WriteLine($"{name,-28}{rows,6}{n,7}{k,7}{seconds * 1e6,10:F1}{bytes / seconds / 1e9,9:F0}{operations / seconds / 1e12,9:F1}");

    /// <summary>Device memory full of random numbers around 0 that are both bfloat16 and float32.</summary>
    private static DeviceBuffer Random(CudaContext context, CudaStream stream, long bytes)
    {
        var random = new Random(1);
        ushort[] piece = new ushort[1 << 20];
        for (int i = 0; i < piece.Length; i++)
        {
            piece[i] = TensorConversion.ToBFloat16((random.NextSingle() * 2) - 1);
        }

        var buffer = new DeviceBuffer(context, bytes, "random numbers");
        ReadOnlySpan<byte> source = MemoryMarshal.AsBytes(piece.AsSpan());
        for (long done = 0; done < bytes; done += source.Length)
        {
            stream.UploadNow(buffer.At(done), source[..(int)Math.Min(source.Length, bytes - done)]);
        }

        return buffer;
    }
}
