using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>A model's weights in memory, 16-bit formats kept as they are.</summary>
internal sealed class CpuWeights : IDisposable
{
    private const int ChunkBytes = 16 << 20;

    private readonly Dictionary<(WeightRole Role, int Layer), CpuMatrix> _matrices = [];
    private readonly bool _tied;

    private CpuWeights(ModelConfig config)
    {
        _tied = config.TiedEmbeddings;
    }

    /// <summary>Bytes of all weights.</summary>
    public long ByteLength => _matrices.Values.Sum(m => m.ByteLength);

    /// <summary>The weight of a role.</summary>
    public CpuMatrix this[WeightRole role, int layer = 0] => _matrices[(role == WeightRole.OutputHead && _tied ? WeightRole.Embedding : role, layer)];

    /// <summary>Reads every weight.</summary>
    public static CpuWeights Load(ModelWeights source, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        var weights = new CpuWeights(source.Config);
        try
        {
            long done = 0;
            foreach ((WeightRole role, int layer) in Roles(source.Config))
            {
                WeightTensor tensor = source[role, layer];
                var matrix = new CpuMatrix(tensor.Type, tensor.Rows, tensor.Columns);
                weights._matrices.Add((role, layer), matrix);
                for (long offset = 0; offset < tensor.ByteLength; offset += ChunkBytes)
                {
                    cancellation.ThrowIfCancellationRequested();
                    int count = (int)Math.Min(ChunkBytes, tensor.ByteLength - offset);
                    unsafe
                    {
                        tensor.Read(offset, new Span<byte>(matrix.Data + offset, count));
                    }

                    done += count;
                    progress?.Report(new LoadProgress(done, source.TotalBytes));
                }
            }

            return weights;
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (CpuMatrix matrix in _matrices.Values)
        {
            matrix.Dispose();
        }

        _matrices.Clear();
    }

    private static IEnumerable<(WeightRole Role, int Layer)> Roles(ModelConfig config)
    {
        yield return (WeightRole.Embedding, 0);
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            for (WeightRole role = WeightRole.AttentionNorm; role <= WeightRole.Down; role++)
            {
                yield return (role, layer);
            }
        }

        yield return (WeightRole.FinalNorm, 0);
        if (!config.TiedEmbeddings)
        {
            yield return (WeightRole.OutputHead, 0);
        }
    }
}
