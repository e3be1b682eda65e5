using System.Runtime.InteropServices;

namespace LazyLlm.Native.Models;

/// <summary>
/// Random bfloat16 weights in any shape, which need no file: every tensor is cut from a block of random numbers, scaled
/// so that rows neither die out nor saturate over the layers. The same on every run. For benchmarks: what such a model
/// says means nothing.
/// </summary>
/// <param name="config">The model's shape.</param>
public sealed class RandomWeights(ModelConfig config) : ModelWeights
{
    // A length that no row's length divides, so that rows differ.
    private const int BlockLength = (1 << 20) + 7;

    private readonly Dictionary<float, byte[]> _blocks = [];

    /// <inheritdoc/>
    public override ModelConfig Config => config;

    /// <inheritdoc/>
    public override long TotalBytes
    {
        get
        {
            long layer = 0;
            for (WeightRole role = WeightRole.AttentionNorm; role <= WeightRole.Down; role++)
            {
                layer += this[role].ByteLength;
            }

            return this[WeightRole.Embedding].ByteLength + this[WeightRole.FinalNorm].ByteLength
                + (config.TiedEmbeddings ? 0 : this[WeightRole.OutputHead].ByteLength) + (config.LayerCount * layer);
        }
    }

    /// <inheritdoc/>
    public override WeightTensor this[WeightRole role, int layer = 0]
    {
        get
        {
            if (role == WeightRole.OutputHead && config.TiedEmbeddings)
            {
                role = WeightRole.Embedding;
            }

            (int? rows, int columns) = SafetensorsWeights.ShapeOf(role, config);
            return new Tensor(SafetensorsWeights.NameOf(role, layer), rows ?? 1, columns, Block(Scale(role, columns)), ((long)role * 7919) + (layer * 104729));
        }
    }

    internal override string Source => "(random weights)";

    /// <summary>Half the width of the numbers' range; 0 stands for gains, which are all 1.</summary>
    private float Scale(WeightRole role, int columns) => role switch
    {
        WeightRole.AttentionNorm or WeightRole.MlpNorm or WeightRole.FinalNorm => 0,
        WeightRole.Embedding => 1,
        WeightRole.AttentionOutput or WeightRole.Down => MathF.Sqrt(3f / columns / (2 * config.LayerCount)),
        _ => MathF.Sqrt(3f / columns),
    };

    private byte[] Block(float scale)
    {
        lock (_blocks)
        {
            if (!_blocks.TryGetValue(scale, out byte[]? block))
            {
                var random = new Random(1);
                ushort[] numbers = new ushort[BlockLength];
                for (int i = 0; i < numbers.Length; i++)
                {
                    numbers[i] = ToBFloat16(scale == 0 ? 1 : ((random.NextSingle() * 2) - 1) * scale);
                }

                block = MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray();
                _blocks.Add(scale, block);
            }

            return block;
        }
    }

    /// <summary>Cut off, which is good enough for random numbers.</summary>
    private static ushort ToBFloat16(float number) => (ushort)(BitConverter.SingleToUInt32Bits(number) >> 16);

    private sealed class Tensor(string name, int rows, int columns, byte[] block, long offset) : WeightTensor
    {
        public override string Name => name;

        public override TensorType Type => TensorType.BFloat16;

        public override int Rows => rows;

        public override int Columns => columns;

        public override void Read(long byteOffset, Span<byte> destination)
        {
            int at = (int)(((2 * offset) + byteOffset) % block.Length);
            while (!destination.IsEmpty)
            {
                int count = Math.Min(destination.Length, block.Length - at);
                block.AsSpan(at, count).CopyTo(destination);
                destination = destination[count..];
                at = 0;
            }
        }
    }
}
