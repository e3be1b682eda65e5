using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>A model's weights in memory: products in panels, 16-bit formats kept as they are; norms in float32.</summary>
internal sealed unsafe class CpuWeights : IDisposable
{
    /// <summary>Bytes that are read between two looks at the cancellation.</summary>
    private const int ChunkBytes = 32 << 20;

    private readonly ModelConfig _config;
    private readonly FloatBuffer _gains = new();
    private readonly List<CpuLayer> _layers = [];
    private readonly List<PanelMatrix> _panels = [];
    private CpuMatrix? _embedding;
    private long _bytesRead;

    private CpuWeights(ModelConfig config)
    {
        _config = config;
    }

    /// <summary>Bytes of all weights in memory.</summary>
    public long ByteLength => _panels.Sum(m => m.ByteLength) + (_embedding?.ByteLength ?? 0) + _gains.AllocatedBytes;

    /// <summary>The output head.</summary>
    public PanelMatrix OutputHead { get; private set; } = null!;

    /// <summary>Factors of the RMSNorm before the output head.</summary>
    public float* FinalGains => Gains(2 * _config.LayerCount);

    /// <summary>The products of a layer.</summary>
    public CpuLayer Layer(int layer) => _layers[layer];

    /// <summary>Factors of a layer's RMSNorm.</summary>
    public float* Gains(int layer, LayerNorm norm) => Gains((2 * layer) + (norm == LayerNorm.Attention ? 0 : 1));

    /// <summary>Writes the embedding of a token.</summary>
    public void Embed(int token, float* destination)
    {
        if (_embedding is null)
        {
            OutputHead.WidenRow(token, destination);
        }
        else
        {
            _embedding.WidenRow(token, destination);
        }
    }

    /// <summary>Reads every weight.</summary>
    /// <exception cref="Errors.DeviceMemoryException">The weights do not fit into memory.</exception>
    public static CpuWeights Load(
        ModelWeights source, CpuKernels kernels, WorkerPool pool, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        var weights = new CpuWeights(source.Config);
        try
        {
            weights.Load(new Loader(source, kernels, pool, progress, cancellation));
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
        foreach (PanelMatrix matrix in _panels)
        {
            matrix.Dispose();
        }

        _embedding?.Dispose();
        _gains.Dispose();
    }

    private float* Gains(int row) => _gains.Pointer + ((long)row * _config.HiddenSize);

    private void Load(in Loader loader)
    {
        _gains.Reserve(((2L * _config.LayerCount) + 1) * _config.HiddenSize);
        if (!_config.TiedEmbeddings)
        {
            LoadEmbedding(loader);
        }

        for (int layer = 0; layer < _config.LayerCount; layer++)
        {
            LoadGains(loader, 2 * layer, WeightRole.AttentionNorm, layer);
            LoadGains(loader, (2 * layer) + 1, WeightRole.MlpNorm, layer);
            _layers.Add(new CpuLayer(
                LoadPanels(loader, ProductEpilogue.Store, layer, WeightRole.Query, WeightRole.Key, WeightRole.Value),
                LoadPanels(loader, ProductEpilogue.Add, layer, WeightRole.AttentionOutput),
                LoadPanels(loader, ProductEpilogue.SwiGlu, layer, WeightRole.Gate, WeightRole.Up),
                LoadPanels(loader, ProductEpilogue.Add, layer, WeightRole.Down)));
        }

        LoadGains(loader, 2 * _config.LayerCount, WeightRole.FinalNorm, 0);
        OutputHead = LoadPanels(loader, ProductEpilogue.Store, 0, _config.TiedEmbeddings ? WeightRole.Embedding : WeightRole.OutputHead);
    }

    private PanelMatrix LoadPanels(in Loader loader, ProductEpilogue epilogue, int layer, params ReadOnlySpan<WeightRole> roles)
    {
        var tensors = new WeightTensor[roles.Length];
        for (int i = 0; i < roles.Length; i++)
        {
            tensors[i] = loader.Source[roles[i], layer];
        }

        // Weights of one product that differ in format are held in the one that holds them all.
        TensorType type = tensors.All(t => t.Type == tensors[0].Type) ? tensors[0].Type : TensorType.Float32;
        var matrix = new PanelMatrix(loader.Kernels, type, tensors.Sum(t => t.Rows), tensors[0].Columns, epilogue);
        _panels.Add(matrix);
        long before = _bytesRead;
        long total = tensors.Sum(t => t.ByteLength);
        int step = (int)Math.Clamp(ChunkBytes / matrix.PanelBytes, 1, matrix.PanelCount);
        for (int panel = 0; panel < matrix.PanelCount; panel += step)
        {
            loader.Cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(panel + step, matrix.PanelCount);
            var job = new PanelLoad(loader.Kernels, matrix, tensors, panel);
            loader.Pool.Run(in job, end - panel, long.MaxValue);
            Report(loader, before + (total * end / matrix.PanelCount));
        }

        return matrix;
    }

    private void LoadEmbedding(in Loader loader)
    {
        WeightTensor tensor = loader.Source[WeightRole.Embedding];
        _embedding = new CpuMatrix(tensor);
        for (long offset = 0; offset < tensor.ByteLength; offset += ChunkBytes)
        {
            loader.Cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(ChunkBytes, tensor.ByteLength - offset);
            tensor.Read(offset, new Span<byte>(_embedding.Data + offset, count));
            Report(loader, _bytesRead + count);
        }
    }

    private void LoadGains(in Loader loader, int row, WeightRole role, int layer)
    {
        WeightTensor tensor = loader.Source[role, layer];
        byte[] bytes = new byte[tensor.ByteLength];
        tensor.Read(0, bytes);
        fixed (byte* source = bytes)
        {
            CpuMatrix.Widen(tensor.Type, source, Gains(row), tensor.Columns);
        }

        Report(loader, _bytesRead + bytes.Length);
    }

    private void Report(in Loader loader, long bytesRead)
    {
        _bytesRead = bytesRead;
        loader.Progress?.Report(new LoadProgress(bytesRead, loader.Source.TotalBytes));
    }

    private readonly record struct Loader(
        ModelWeights Source, CpuKernels Kernels, WorkerPool Pool, IProgress<LoadProgress>? Progress, CancellationToken Cancellation);
}
