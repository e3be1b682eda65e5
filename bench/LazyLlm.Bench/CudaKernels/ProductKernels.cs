using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;

namespace LazyLlm.Bench.CudaKernels;

/// <summary>
/// The four matrix products of a layer and the output head, through the choice of kernel that the engine makes. Weights
/// rotate among copies that together exceed the cache, as a pass over the layers does.
/// </summary>
internal static class ProductKernels
{
    public const string Group = "products";

    private const long RotatedBytes = 512L << 20;

    public static void Measure(KernelScene scene)
    {
        DeviceShape shape = scene.Shape;
        var kernels = new LinearKernels(scene.Library, shape, scene.Context.Device);
        (string Name, int N, int K, LinearEpilogue Epilogue)[] products =
        [
            ("linear_qkv", shape.QueryKeyValueWidth, shape.Hidden, LinearEpilogue.Store),
            ("linear_attention_output", shape.Hidden, shape.QueryWidth, LinearEpilogue.AddResidual),
            ("linear_gate_up", 2 * shape.Intermediate, shape.Hidden, LinearEpilogue.SwiGlu),
            ("linear_down", shape.Hidden, shape.Intermediate, LinearEpilogue.AddResidual),
            ("logits", shape.Config.VocabularySize, shape.Hidden, LinearEpilogue.StoreFloat),
        ];
        foreach ((string name, int n, int k, LinearEpilogue epilogue) in products)
        {
            foreach (int m in name == "logits" ? [1] : scene.Sizes.ProductRows)
            {
                long weightBytes = 2L * n * k;
                int copies = (int)Math.Clamp(RotatedBytes / weightBytes, 1, scene.Sizes.Repetitions + 1);
                int written = epilogue == LinearEpilogue.SwiGlu ? n / 2 : n;
                double perOutput = epilogue switch { LinearEpilogue.AddResidual => 8, LinearEpilogue.StoreFloat => 4, _ => 2 };
                var row = new KernelRow
                {
                    Group = Group,
                    Kernel = name,
                    Sizes = new Dictionary<string, int> { ["m"] = m, ["n"] = n, ["k"] = k },
                    Bytes = weightBytes + (2.0 * m * k) + (perOutput * m * written),
                    Operations = 2.0 * m * n * k,
                    Peer = "linear",
                };
                scene.Measure(row, buffers =>
                {
                    DeviceBuffer weights = buffers.Random(copies * weightBytes);
                    ulong input = buffers.Random(2L * (m + LinearKernels.SpareRows) * k).Pointer;
                    ulong output = buffers.Random(4L * m * written).Pointer;
                    int run = 0;
                    return new KernelRun(() => kernels.Launch(scene.Stream, new LinearArgs
                    {
                        Input = input,
                        Weights = weights.At(run++ % copies * weightBytes),
                        Output = output,
                        Count = RowCount.Of(m),
                        N = n,
                        K = k,
                        OutputStride = written,
                        Epilogue = epilogue,
                    }));
                });
            }
        }
    }
}
