using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// A model's weights on the GPU, as the kernels read them: one allocation per layer for its matrices, one for all
/// norms, one each for embedding, output head and rotary table.
/// </summary>
internal sealed class CudaWeights : IDisposable
{
    /// <summary>What loading is called in errors and profiles, on each thread that takes part.</summary>
    internal static readonly OperationName Loading = new("load_weights");

    private readonly DeviceShape _shape;
    private readonly DeviceBuffer[] _layers;
    private readonly DeviceBuffer? _norms;
    private readonly DeviceBuffer? _embedding;
    private readonly DeviceBuffer? _head;
    private readonly DeviceBuffer? _rotary;

    private CudaWeights(CudaContext context, DeviceShape shape, int contextLength)
    {
        _shape = shape;
        _layers = new DeviceBuffer[shape.Config.LayerCount];
        try
        {
            _norms = new DeviceBuffer(context, NormBytes(shape), "norm weights");
            _embedding = new DeviceBuffer(context, TableBytes(shape), "the embedding");
            _head = shape.Config.TiedEmbeddings ? null : new DeviceBuffer(context, TableBytes(shape), "the output head");
            _rotary = new DeviceBuffer(context, RotaryBytes(shape, contextLength), "the rotary table");
            for (int layer = 0; layer < _layers.Length; layer++)
            {
                _layers[layer] = new DeviceBuffer(context, shape.LayerMatrixBytes, $"the weights of layer {layer}");
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Bytes on the device.</summary>
    public long ByteLength => _norms!.Bytes + _embedding!.Bytes + (_head?.Bytes ?? 0) + _rotary!.Bytes + _layers.Sum(l => l.Bytes);

    /// <summary>Token embedding, vocabulary x hidden.</summary>
    public ulong Embedding => _embedding!.Pointer;

    /// <summary>Output head, vocabulary x hidden.</summary>
    public ulong OutputHead => (_head ?? _embedding)!.Pointer;

    /// <summary>Gains before the output head, float32.</summary>
    public ulong FinalNorm => Norm(2 * _layers.Length);

    /// <summary>Cosines, positions x pairs, float32.</summary>
    public ulong Cosines => _rotary!.Pointer;

    /// <summary>Sines, positions x pairs, float32.</summary>
    public ulong Sines => _rotary!.At(_rotary.Bytes / 2);

    /// <summary>Bytes that the weights of a model take.</summary>
    public static long BytesFor(DeviceShape shape, int contextLength) =>
        NormBytes(shape) + (TableBytes(shape) * (shape.Config.TiedEmbeddings ? 1 : 2)) + RotaryBytes(shape, contextLength)
        + (shape.LayerMatrixBytes * shape.Config.LayerCount);

    /// <summary>The weights of a layer.</summary>
    public LayerWeights Layer(int layer)
    {
        ulong start = _layers[layer].Pointer;
        ulong row = (ulong)_shape.Hidden * (ulong)_shape.ElementSize;
        ulong attentionOutput = start + (row * (ulong)_shape.QueryKeyValueWidth);
        ulong gateUp = attentionOutput + (row * (ulong)_shape.QueryWidth);
        ulong down = gateUp + (2 * row * (ulong)_shape.Intermediate);
        return new LayerWeights(Norm(2 * layer), Norm((2 * layer) + 1), start, attentionOutput, gateUp, down);
    }

    /// <summary>Reads a model's weights and puts them on the device.</summary>
    /// <exception cref="Errors.DeviceMemoryException">There is too little memory; everything is given back.</exception>
    public static CudaWeights Load(ModelWeights source, DeviceShape shape, int contextLength, CudaStream stream, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        using OperationScope scope = OperationScope.Open(Loading);
        var weights = new CudaWeights(stream.Context, shape, contextLength);
        try
        {
            using var uploader = new WeightUploader(stream, shape.Storage, source.TotalBytes, progress, cancellation);
            weights.Fill(source, uploader);
            uploader.Upload(weights.Cosines, RotaryNumbers(shape.Config, contextLength));
            uploader.Finish();
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
        foreach (DeviceBuffer? buffer in _layers.AsEnumerable<DeviceBuffer?>().Concat([_norms, _embedding, _head, _rotary]))
        {
            buffer?.Dispose();
        }
    }

    private static long NormBytes(DeviceShape shape) => ((2L * shape.Config.LayerCount) + 1) * shape.Hidden * sizeof(float);

    private static long TableBytes(DeviceShape shape) => (long)shape.Config.VocabularySize * shape.Hidden * shape.ElementSize;

    private static long RotaryBytes(DeviceShape shape, int contextLength) => (long)contextLength * shape.Config.HeadSize * sizeof(float);

    private static float[] RotaryNumbers(ModelConfig config, int contextLength)
    {
        RotaryTable table = RotaryTable.Create(config, contextLength);
        return [.. table.Cosines, .. table.Sines];
    }

    private ulong Norm(int index) => _norms!.At((long)index * _shape.Hidden * sizeof(float));

    private void Fill(ModelWeights source, WeightUploader uploader)
    {
        int hidden = _shape.Hidden;
        ulong row = (ulong)hidden * (ulong)_shape.ElementSize;
        uploader.UploadMatrix(Embedding, source[WeightRole.Embedding], source.Config.VocabularySize, hidden);
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            LayerWeights to = Layer(layer);
            uploader.UploadNorm(to.AttentionNorm, source[WeightRole.AttentionNorm, layer], hidden);
            uploader.UploadNorm(to.MlpNorm, source[WeightRole.MlpNorm, layer], hidden);
            ulong key = to.QueryKeyValue + (row * (ulong)_shape.QueryWidth);
            uploader.UploadMatrix(to.QueryKeyValue, source[WeightRole.Query, layer], _shape.QueryWidth, hidden);
            uploader.UploadMatrix(key, source[WeightRole.Key, layer], _shape.KeyValueWidth, hidden);
            uploader.UploadMatrix(key + (row * (ulong)_shape.KeyValueWidth), source[WeightRole.Value, layer], _shape.KeyValueWidth, hidden);
            uploader.UploadMatrix(to.AttentionOutput, source[WeightRole.AttentionOutput, layer], hidden, _shape.QueryWidth);
            uploader.UploadAlternating(to.GateUp, source[WeightRole.Gate, layer], source[WeightRole.Up, layer], _shape.Intermediate, hidden);
            uploader.UploadMatrix(to.Down, source[WeightRole.Down, layer], hidden, _shape.Intermediate);
        }

        uploader.UploadNorm(FinalNorm, source[WeightRole.FinalNorm], hidden);
        if (_head is not null)
        {
            uploader.UploadMatrix(OutputHead, source[WeightRole.OutputHead], source.Config.VocabularySize, hidden);
        }
    }
}
