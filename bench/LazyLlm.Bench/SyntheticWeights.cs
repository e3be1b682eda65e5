using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench;

/// <summary>
/// Random bfloat16 weights of any shape that need no file: every tensor is cut from one block of random numbers, scaled
/// so that rows neither die out nor saturate over the layers. The same on every run.
/// </summary>
internal sealed class SyntheticWeights(ModelConfig config) : ModelWeights
{
    // A length that no row's length divides, so that rows differ.
    private const int BlockLength = (1 << 20) + 7;

    private readonly Dictionary<float, byte[]> _blocks = [];

    public override ModelConfig Config => config;

    public override long TotalBytes => 2 * Roles().Sum(r => (long)Shape(r.Role).Rows * Shape(r.Role).Columns);

    public override WeightTensor this[WeightRole role, int layer = 0]
    {
        get
        {
            (int rows, int columns) = Shape(role);
            return new Tensor($"{role} {layer}", rows, columns, Block(Scale(role, columns)), ((long)role * 7919) + (layer * 104729));
        }
    }

    private IEnumerable<(WeightRole Role, int Layer)> Roles()
    {
        yield return (WeightRole.Embedding, 0);
        yield return (WeightRole.FinalNorm, 0);
        yield return (WeightRole.OutputHead, 0);
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            for (WeightRole role = WeightRole.AttentionNorm; role <= WeightRole.Down; role++)
            {
                yield return (role, layer);
            }
        }
    }

    private (int Rows, int Columns) Shape(WeightRole role) => role switch
    {
        WeightRole.Embedding or WeightRole.OutputHead => (config.VocabularySize, config.HiddenSize),
        WeightRole.Query => (config.QueryWidth, config.HiddenSize),
        WeightRole.Key or WeightRole.Value => (config.KeyValueWidth, config.HiddenSize),
        WeightRole.AttentionOutput => (config.HiddenSize, config.QueryWidth),
        WeightRole.Gate or WeightRole.Up => (config.IntermediateSize, config.HiddenSize),
        WeightRole.Down => (config.HiddenSize, config.IntermediateSize),
        _ => (1, config.HiddenSize),
    };

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
                    numbers[i] = TensorConversion.ToBFloat16(scale == 0 ? 1 : ((random.NextSingle() * 2) - 1) * scale);
                }

                block = MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray();
                _blocks.Add(scale, block);
            }

            return block;
        }
    }

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
